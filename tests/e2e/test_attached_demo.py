"""`triagem demo --attach`: the export on servers and workers that already run, as in docker-compose.yml."""

import json
from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.support.command import Triagem
from triagem.db import Database
from triagem.inbox import Inbox


def test_running_workers_classify_the_export_and_keep_running(
    triagem: Triagem, start_worker: StartWorker, instant_models: Path, database: Database, inbox: Inbox
) -> None:
    worker = start_worker(instant_models, "tests.support.engines:noop")

    answer = triagem("demo", "--attach", "--json")

    assert answer.status == 0, answer.err
    outcome = json.loads(answer.out)
    assert (outcome["enqueued"], outcome["rows"], outcome["lost"]) == (200, 200, 0)
    assert (outcome["killed_at"], outcome["recovery_s"]) == (None, None)
    assert worker.exit_status is None


def test_attach_and_keep_exclude_each_other(triagem: Triagem) -> None:
    assert triagem("demo", "--attach", "--keep").status == 2
