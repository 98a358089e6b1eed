"""`triagem ops` delivers results to a CRM, and is killed between sending one and recording it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT
from tests.support.delivery import crm_file, delivery_states, make_due, verified_data
from tests.support.receiver import OK, CannedResponse, ReceivedRequest, Receiver
from tests.support.waiting import until
from tests.support.windows import result
from triagem.cli.processes import WorkerProcess
from triagem.db import Database
from triagem.db.tickets.window import write_window
from triagem.ops.app import ops_app
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints

FRESHDESK: Any = {"source": "freshdesk"}


class Killer:
    """A receiver that kills the sender of the first request before it answers."""

    def __init__(self) -> None:
        self.victims: list[int] = []
        self.receiver = Receiver(self._answer)

    def _answer(self, received: ReceivedRequest) -> CannedResponse:
        if self.victims:
            os.killpg(self.victims.pop(), signal.SIGKILL)
        return OK


@pytest.fixture
def killer() -> Iterator[Killer]:
    """The receiver of results."""
    made = Killer()
    with made.receiver.open():
        yield made


def send(endpoints: Endpoints) -> None:
    """Put the task on the queue, as beat does."""
    with ops_app(endpoints.broker_url, OpsSettings()) as app:
        app.send_task("triagem.deliver", queue="ops", expires=60)


def test_a_delivery_that_was_sent_but_not_recorded_is_sent_again_with_the_same_id_and_none_is_lost(
    endpoints: Endpoints, database: Database, killer: Killer, tmp_path: Path, instant_models: Path
) -> None:
    file = crm_file(tmp_path, callback=killer.receiver.url)
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        settings = {"TRIAGEM_REGISTRY_URL": str(instant_models), "TRIAGEM_CRM_FILE": str(file)}
        log = tmp_path / f"ops-{len(started)}.log"
        started.append(WorkerProcess(endpoints, log, "ops", PYTHONPATH=str(ROOT), **settings))
        until(lambda: "ops_ready" in started[-1].log.read_text(), seconds=60)
        return started[-1]

    try:
        ops = start()
        write_window(database, [result(external_id=str(number), **FRESHDESK) for number in range(5)])
        killer.victims.append(ops.pid)
        send(endpoints)
        until(lambda: ops.exit_status is not None)
        before = delivery_states(database)
        assert ("freshdesk.callback", "waiting", 1) in before

        start()
        make_due(database)
        send(endpoints)
        until(lambda: {state for _, state, _ in delivery_states(database)} == {"delivered"})
    finally:
        for process in started:
            process.kill()

    delivered = [verified_data(request) for request in killer.receiver.received]
    assert {data["external_id"] for data in delivered} == {"0", "1", "2", "3", "4"}
    assert len({data["id"] for data in delivered}) == 5
    repeated = [data for data in delivered if delivered.count(data) > 1]
    assert repeated, "the delivery in flight came twice"
