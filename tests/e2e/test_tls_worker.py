"""A worker that uses TLS for the inbox, Celery's broker and Postgres."""

from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.support.pipeline import stored
from tests.support.tls import authority, secured, tls_proxy
from tests.support.waiting import until
from triagem import Publisher
from triagem.broker import default_broker_url, make_app
from triagem.db import Database
from triagem.stack import Endpoints


def test_a_worker_classifies_and_answers_over_tls(
    endpoints: Endpoints, database: Database, start_worker: StartWorker, instant_models: Path, tmp_path: Path
) -> None:
    signer = authority(tmp_path, "signer")
    with (
        tls_proxy(endpoints.redis_url, signer) as redis_port,
        tls_proxy(endpoints.database_url, signer) as postgres_port,
    ):
        redis_url = secured(endpoints.redis_url, redis_port, ssl_ca_certs=signer.file)
        worker = start_worker(
            instant_models,
            TRIAGEM_REDIS_URL=redis_url,
            TRIAGEM_BROKER_URL=default_broker_url(redis_url),
            TRIAGEM_DATABASE_URL=secured(
                endpoints.database_url, postgres_port, sslmode="verify-full", sslrootcert=signer.file
            ),
        )
        Publisher.from_url(redis_url).publish(source="crm", external_id="1", text="minha internet caiu")

        until(lambda: stored(database) == 1, seconds=60)
        until(lambda: bool(make_app(default_broker_url(redis_url)).control.ping(timeout=1, limit=1)))
        assert worker.stop() == 0
