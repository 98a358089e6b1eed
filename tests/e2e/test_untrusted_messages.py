"""Untrusted messages in Celery's broker and in the inbox: only JSON is accepted, and no code in them runs."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

from tests.e2e.conftest import StartWorker
from tests.support.leaks import dead_letter_reasons
from tests.support.waiting import until
from triagem.broker import WORKER_QUEUE, make_app
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox, connect
from triagem.inbox.stream import stream_key

PICKLE = "application/x-python-serialize"


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.file,)


def celery_message(body: bytes, content_type: str) -> bytes:
    """A message as kombu writes it to Redis."""
    delivery = {"exchange": "", "routing_key": WORKER_QUEUE}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "content-encoding": "binary",
            "headers": {"task": "celery.backend_cleanup", "id": "1", "lang": "py"},
            "properties": {"body_encoding": "base64", "delivery_info": delivery, "delivery_tag": "1"},
        }
    ).encode()


def test_a_pickle_runs_nowhere(
    inbox: Inbox, database: Database, start_worker: StartWorker, instant_models: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "it-ran"
    bomb = pickle.dumps(Bomb(ran))
    worker = start_worker(instant_models)
    until(lambda: "model_loaded" in worker.log.read_text(), seconds=60)
    broker = connect(broker_url(inbox))
    app = make_app(broker_url(inbox))

    inbox.redis.xadd(stream_key(Lane.LIVE), {"t": bomb})
    broker.lpush(WORKER_QUEUE, celery_message(bomb, PICKLE))
    broker.publish("/1.celery.pidbox", celery_message(bomb, PICKLE))

    until(lambda: dead_letter_reasons(database) == ["the payload is not JSON"])
    until(lambda: "untrusted content of type pickle" in worker.log.read_text())
    assert app.control.ping(timeout=30, limit=1)  # sent after the pickle, so processed after it
    assert not ran.exists()
    pickle.loads(bomb)
    assert ran.exists()


def broker_url(inbox: Inbox) -> str:
    """The shared stack's broker."""
    options = inbox.redis.connection_pool.connection_kwargs
    return f"redis://:{options['password']}@{options['host']}:{options['port']}/1"
