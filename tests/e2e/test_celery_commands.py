"""Celery's own command, a publisher and docs/how-to/celery.md, on `triagem up` and with the settings of compose."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.support.manifests import documents
from tests.support.waiting import until
from triagem.db import Database, runs
from triagem.db.tickets.queries import results_by_external_id
from triagem.stack import Endpoints, LocalStack
from triagem.stack.state import choose_port

OPS, WORKER = "triagem.ops.app", "triagem.worker.app"
PAGE = (ROOT / "docs" / "how-to" / "celery.md").read_text(encoding="utf-8")
TASK, CALL, SEND = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Shell:
    """A folder and the settings in which commands run."""

    folder: Path
    settings: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGEM_")}
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=inherited | self.settings | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def prints(self, text: str, *arguments: str) -> bool:
        """Whether a command that runs until it is killed prints a line with this text within a minute."""
        process = self.start(*arguments)
        limit = threading.Timer(60, process.kill)
        limit.start()
        try:
            return any(text in line for line in process.stdout or ())
        finally:
            limit.cancel()
            process.kill()
            process.communicate()

    def run(self, *arguments: str) -> str:
        """The output of a command that succeeds."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    def celery(self, app: str, *arguments: str) -> str:
        return self.run("-m", "celery", "-A", app, *arguments)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, instant_models: Path) -> Iterator[Shell]:
    """A shell in the folder of a running `triagem up`, without any own setting."""
    folder = tmp_path_factory.mktemp("up")
    settings = {
        "TRIAGEM_REGISTRY_URL": str(instant_models),
        "TRIAGEM_ENGINE": "tests.support.engines:noop",
        "TRIAGEM_GATEWAY_PORT": str(choose_port()),
    }
    process = Shell(folder, settings).start("-m", "triagem.cli.main", "up")
    logs = folder / ".triagem"
    try:
        until(lambda: (logs / "ops.log").exists() and "ops_ready" in (logs / "ops.log").read_text(), seconds=90)
        until(lambda: "model_loaded" in (logs / "worker-0.log").read_text(), seconds=90)
        yield Shell(folder, {})
        process.terminate()
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.communicate()
        LocalStack(logs).erase()


def endpoints(up: Shell) -> Endpoints:
    running = LocalStack(up.folder / ".triagem").running()
    assert running
    return running


@pytest.fixture(params=[pytest.param("up", marks=pytest.mark.slow), "compose"])
def shell(request: pytest.FixtureRequest, up: Shell, tmp_path: Path) -> Shell:
    """A shell in the folder of `triagem up`, or with the settings of the service `ops` in docker-compose.yml."""
    if request.param == "up":
        return up
    (tmp_path / "redis_url").write_text(f"{endpoints(up).redis_url}\n")
    (tmp_path / "broker_url").write_text(f"{endpoints(up).broker_url}\n")
    (tmp_path / "database_url").write_text(f"{endpoints(up).writer_url}\n")
    settings = documents(ROOT / "docker-compose.yml")[0]["services"]["ops"]["environment"]
    assert {"TRIAGEM_REDIS_URL_FILE", "TRIAGEM_DATABASE_URL_FILE"} <= settings.keys()
    values = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in settings.items()}
    return Shell(tmp_path, {name: value.replace("/secrets/triagem", str(tmp_path)) for name, value in values.items()})


def test_workers_and_ops_answer_inspect(shell: Shell) -> None:
    commands = [(WORKER, "ping"), (OPS, "stats"), (OPS, "registered")]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda command: shell.celery(command[0], "inspect", command[1], "--json"), commands))

    replies = [json.loads(answer[answer.index("{") :]) for answer in answers]
    nodes = [sorted(name.partition("-")[0] for name in reply) for reply in replies]
    assert nodes == [["ops", "pipe", "train"]] * len(commands)
    (registered,) = (tasks for name, tasks in replies[-1].items() if name.startswith("ops-"))
    assert {"triagem.reclassify", "triagem.enqueue"} <= set(registered)


@pytest.mark.parametrize("app", [OPS, WORKER])
def test_ops_starts_the_run_that_celerys_call_asks_for(shell: Shell, up: Shell, app: str) -> None:
    with Database(endpoints(up).database_url) as database:
        until(lambda: runs.find_active(database) is None)
        before = len(runs.newest_runs(database, limit=99))

        shell.celery(app, "call", "triagem.reclassify")

        until(lambda: len(runs.newest_runs(database, limit=99)) == before + 1)


def test_celerys_beat_follows_the_schedule(shell: Shell, tmp_path: Path) -> None:
    beat = ("-m", "celery", "-A", OPS, "beat", "-l", "info", "-s", str(tmp_path / "schedule"))
    assert shell.prints("Sending due task triagem.deliver", *beat)


@pytest.mark.parametrize(
    ("command", "hint"), [("worker", "`triagem worker`"), ("beat", "`celery -A triagem.ops.app beat`")]
)
def test_a_command_that_would_do_nothing_names_the_right_one(up: Shell, command: str, hint: str) -> None:
    process = up.start("-m", "celery", "-A", WORKER, command)
    output, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert hint in output
    assert "Traceback" not in output


def test_a_publisher_finds_the_inbox(shell: Shell) -> None:
    code = "from triagem import Publisher; publish = Publisher.from_environment().publish; "
    assert "Accepted" in shell.run("-c", code + "print(publish(source='shop', external_id='1', text='Oi'))")


def with_broker(code: str, url: str) -> str:
    """Code of the page, with the URL of a test's broker."""
    changed = re.sub(r'broker="[^"]+"', f'broker="{url}"', code)
    assert changed != code
    return changed


def wait_for_result(up: Shell, external_id: str) -> None:
    with Database(endpoints(up).database_url) as database:
        until(lambda: bool(results_by_external_id(database, "shop", [external_id])), seconds=60)


def test_the_pages_own_task_submits_a_ticket_and_retries_while_redis_is_unavailable(up: Shell) -> None:
    broker = endpoints(up).redis_url.removesuffix("0") + "2"
    (up.folder / "shop.py").write_text(with_broker(TASK, broker), encoding="utf-8")
    worker = ("-m", "celery", "-A", "shop", "worker", "-P", "solo", "-l", "info")

    up.run("-c", CALL)
    without_redis = Shell(up.folder, {"TRIAGEM_REDIS_URL": f"redis://127.0.0.1:{choose_port()}/0"})
    assert without_redis.prints("InboxUnavailable", *worker)

    up.run("-c", CALL)
    assert up.prints("succeeded", *worker)
    wait_for_result(up, "4711")


def test_the_page_sends_triagems_task_with_nothing_but_celery(up: Shell, tmp_path: Path) -> None:
    Shell(tmp_path, {}).run("-c", with_broker(SEND, endpoints(up).broker_url))

    wait_for_result(up, "4712")
