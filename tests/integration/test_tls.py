"""TLS configured by URL alone: the right authority is accepted, anything else is refused in one line without a
password."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import make_url

from tests.support.command import Triagem, assert_one_line
from tests.support.database_errors import connect_and_query, refused
from tests.support.tls import Authority, authority, secured, tls_proxy
from triagem.broker import default_broker_url, make_app
from triagem.contracts.errors import InboxUnavailable, UntrustedCertificate
from triagem.inbox import connect
from triagem.inbox.client import redis_errors
from triagem.stack import Endpoints


class Secured(NamedTuple):
    """The shared stack behind TLS: its ports, the authority that signed its certificate, and another authority."""

    endpoints: Endpoints
    redis_port: int
    postgres_port: int
    signer: Authority
    untrusted: Authority

    def redis(self, ca: Path | None = None, **options: object) -> str:
        """The inbox's URL; by default with the right authority."""
        return secured(self.endpoints.redis_url, self.redis_port, ssl_ca_certs=ca or self.signer.file, **options)

    def postgres(self, ca: Path | None = None) -> str:
        """The database's URL."""
        return secured(
            self.endpoints.database_url,
            self.postgres_port,
            sslmode="verify-full",
            sslrootcert=ca or self.signer.file,
        )


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """The authority that signs, and another."""
    folder = tmp_path_factory.mktemp("authorities")
    return authority(folder, "signer"), authority(folder, "untrusted")


@pytest.fixture
def tls(endpoints: Endpoints, authorities: tuple[Authority, Authority]) -> Iterator[Secured]:
    """The shared stack behind TLS."""
    signer, untrusted = authorities
    with (
        tls_proxy(endpoints.redis_url, signer) as redis_port,
        tls_proxy(endpoints.database_url, signer) as postgres_port,
    ):
        yield Secured(endpoints, redis_port, postgres_port, signer, untrusted)


def by_address(url: str) -> str:
    """The same server by its address, which its certificate does not contain."""
    return url.replace("localhost", "127.0.0.1")


def test_commands_work_over_tls(triagem: Triagem, tls: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_REDIS_URL", tls.redis())
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", tls.postgres())

    assert triagem("backlog").status == 0
    assert triagem("results").status == 0


@pytest.mark.parametrize("defect", ["authority", "host name"])
@pytest.mark.parametrize("server", ["Redis", "Postgres"])
def test_an_untrusted_server_is_refused_in_one_line(
    triagem: Triagem, tls: Secured, monkeypatch: pytest.MonkeyPatch, server: str, defect: str
) -> None:
    url_with: Callable[..., str] = tls.redis if server == "Redis" else tls.postgres
    url = url_with(tls.untrusted.file) if defect == "authority" else by_address(url_with())
    variable, command = ("TRIAGEM_REDIS_URL", "backlog") if server == "Redis" else ("TRIAGEM_DATABASE_URL", "results")
    monkeypatch.setenv(variable, url)

    answer = triagem(command)

    assert_one_line(answer, f"{server}' certificate is not trusted", variable)
    assert password_of(url) not in answer.out + answer.err


def test_an_absent_authority_file_is_distinguished_from_a_wrong_password(tls: Secured) -> None:
    with refused(UntrustedCertificate, "Postgres' certificate is not trusted", secret=password_of(tls.postgres())):
        connect_and_query(tls.postgres(Path("/no/such/file.pem")))


def test_a_postgres_without_tls_is_refused_when_tls_is_required(endpoints: Endpoints) -> None:
    with refused(UntrustedCertificate, secret=password_of(endpoints.database_url)):
        connect_and_query(endpoints.database_url + "?sslmode=require")


def test_a_redis_without_tls_is_reported_as_unavailable(endpoints: Endpoints) -> None:
    """Redis answers a TLS greeting that happens to contain a line end; otherwise it waits for a line end."""
    url = endpoints.redis_url.replace("redis://", "rediss://")
    with refused(InboxUnavailable, "does not answer", secret=password_of(url)), redis_errors():
        connect(url).ping()


def test_celery_reaches_its_broker_over_tls(tls: Secured) -> None:
    with make_app(default_broker_url(tls.redis())).connection_for_write() as connection:
        connection.connect()
        assert connection.connected


@pytest.mark.parametrize("defect", ["authority", "host name", "no authority"])
def test_celery_verifies_its_brokers_certificate(tls: Secured, defect: str) -> None:
    inbox = {
        "authority": tls.redis(tls.untrusted.file),
        "host name": by_address(tls.redis()),
        "no authority": secured(tls.endpoints.redis_url, tls.redis_port),
    }[defect]
    with (
        make_app(default_broker_url(inbox)).connection_for_write() as connection,
        pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        connection.ensure_connection(max_retries=1, interval_start=0, reraise_as_library_errors=True)
    assert password_of(inbox) not in str(caught.value)


def test_verification_is_disabled_only_explicitly(tls: Secured) -> None:
    url = secured(tls.endpoints.redis_url, tls.redis_port, ssl_cert_reqs="none")

    assert connect(url).ping()
    with make_app(default_broker_url(url)).connection_for_write() as connection:
        connection.connect()
        assert connection.connected


def password_of(url: str) -> str:
    """The URL's password, which must never be shown."""
    return str(make_url(url).password)
