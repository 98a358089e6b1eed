"""`triagem up` and `triagem demo` as a user runs them, each in its own folder with its own servers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import text

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.leaks import fetch_metrics
from tests.support.namesakes import add_namesakes
from tests.support.pipeline import publish, stored
from tests.support.processes import descendants, process_parents
from tests.support.stack import pids_of
from tests.support.waiting import until
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.stack import LocalStack
from triagem.stack.state import choose_port, is_free

METRICS = ("predictions_total", "triagem_store_up", "triagem_http_requests_total")  # of worker, ops and gateway


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a space in its name and packages named like Triagem's; its servers are erased after the test."""
    path = tmp_path / "um lugar"
    yield add_namesakes(path)
    LocalStack(path / ".triagem").erase()


def triagem(
    folder: Path, *arguments: str, models: Path, engine: str, port: int | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "triagem.cli.main", *arguments],
        cwd=folder,
        env={
            "TRIAGEM_LEASE_S": "1",
            **os.environ,
            "TRIAGEM_REGISTRY_URL": str(models),
            "TRIAGEM_ENGINE": engine,
            "TRIAGEM_GATEWAY_PORT": str(port or choose_port()),
            "PYTHONPATH": str(ROOT),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> str:
    process = triagem(folder, *arguments, models=folder, engine="tests.support.engines:noop")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def lines_until(process: subprocess.Popen[str], prefix: str) -> str:
    """The output of the process, up to the first line with this prefix."""
    printed = ""
    assert process.stdout
    for line in process.stdout:
        printed += line
        if line.startswith(prefix):
            return printed
    raise AssertionError(printed)


def log_of(folder: Path, name: str) -> str:
    log = folder / ".triagem" / f"{name}.log"
    return log.read_text() if log.exists() else ""


def worker_logs(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / ".triagem").glob("worker-*.log"))


@pytest.mark.parametrize("signum", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_up_serves_until_it_is_asked_to_stop_and_leaves_nothing_running(
    folder: Path, instant_models: Path, signum: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = choose_port()
    first = next(start for start in range(18700, 18800) if all(is_free(start + offset) for offset in range(3)))
    monkeypatch.setenv("TRIAGEM_METRICS_PORT", str(first))
    monkeypatch.setenv("TRIAGEM_LOG_PREDICTIONS", "true")
    monkeypatch.setenv("TRIAGEM_LEASE_S", "3600")
    process = triagem(folder, "up", models=instant_models, engine="tests.support.engines:noop", port=port)
    try:
        until(lambda: "model_loaded" in worker_logs(folder) or process.poll() is not None, seconds=90)
        (folder / "export.csv").write_text("id,subject,body\n1,Oi,minha internet caiu\n", encoding="utf-8")
        run(folder, "enqueue", "export.csv", "--source", "crm")
        until(lambda: "gateway_started" in log_of(folder, "gateway"))
        key = run(folder, "keys", "create", "shop", "--scope", "enqueue").strip()
        ticket = json.dumps({"source": "shop", "external_id": "2", "text": "quero um plano"}).encode()
        with urlopen(
            Request(f"http://127.0.0.1:{port}/v1/tickets", ticket, {"Authorization": f"Bearer {key}"})
        ) as response:
            assert response.status == 202
        until(lambda: len(json.loads(run(folder, "results", "--format", "json"))["results"]) == 2, seconds=60)
        pids = pids_of(LocalStack(folder / ".triagem"))
        until(lambda: "ops_ready" in log_of(folder, "ops") and "schedule" in log_of(folder, "beat"))
        until(lambda: "trainer_ready" in log_of(folder, "trainer"))
        printed = lines_until(process, "ready after ")
        assert f"API: http://127.0.0.1:{port} (described at http://127.0.0.1:{port}/docs); a key: " in printed
        assert (
            f"console: http://127.0.0.1:{port}/console/ (`triagem start --link` prints a link that logs in)\n"
            in printed
        )
        assert [name in fetch_metrics(first + offset) for offset, name in enumerate(METRICS)] == [True] * 3
        (killed,) = json.loads(run(folder, "backlog", "--json"))["states"]
        os.kill(int(killed.split("-")[-2]), signal.SIGKILL)
        until(lambda: killed not in (states := json.loads(run(folder, "backlog", "--json"))["states"]) and states)
        started = descendants(process.pid)
        second = triagem(folder, "up", models=instant_models, engine="tests.support.engines:noop")
        assert second.wait(30) == 1
        assert "is already running in this folder: `triagem status` shows its state" in second.communicate()[1]
        process.send_signal(signum)
        assert process.wait(60) == 0
    finally:
        process.kill()
        out, _ = process.communicate()
    assert len(started) >= 8  # both servers, gateway, a worker, ops with the process of its tasks, beat, trainer
    assert not started & process_parents().keys()
    assert "link=" not in printed
    steps = [line.partition(" (")[0] for line in out.splitlines()[-2:]]
    assert steps == ["✓ stop all processes", "✓ stop Redis and Postgres"]
    assert "psql" not in printed  # output that is not a terminal must not contain the URL with its password
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    assert LocalStack(folder / ".triagem").running() is None
    lines = [line for line in worker_logs(folder).splitlines() if '"event": "prediction"' in line]
    assert {json.loads(line)["input_length"] for line in lines} == {22, 14}
    specified = {"timestamp", "input_length", "predicted_class", "confidence", "latency_ms"}
    assert all(specified <= json.loads(line).keys() for line in lines)
    assert "internet" not in worker_logs(folder)


def test_up_reports_frozen_servers_and_a_stop_lets_them_continue(folder: Path, instant_models: Path) -> None:
    process = triagem(folder, "up", models=instant_models, engine="tests.support.engines:noop")
    limit = Timer(180, process.kill)
    limit.start()
    try:
        lines_until(process, "ready after ")
        pids = pids_of(LocalStack(folder / ".triagem"))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        assert process.stdout
        reported = [next(process.stdout), next(process.stdout)]
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        limit.cancel()
        process.kill()
    for server, pid in zip(("Redis", "Postgres"), pids, strict=True):
        assert any(f"{server} does not answer: see " in line and f"`kill -9 {pid}`" in line for line in reported)
        assert f"{server} does not answer: its process {pid} may be frozen, and gets SIGCONT" in out
    assert process.returncode == 0
    assert LocalStack(folder / ".triagem").down() == ["Redis", "Postgres"]


def test_after_up_was_killed_its_worker_ends_and_the_next_up_takes_the_servers_over_and_restarts_a_dead_one(
    folder: Path, instant_models: Path
) -> None:
    process = triagem(folder, "up", models=instant_models, engine="tests.support.engines:noop")
    try:
        until(lambda: "model_loaded" in worker_logs(folder), seconds=90)
        until(lambda: "ops_ready" in log_of(folder, "ops") and "schedule" in log_of(folder, "beat"))
        until(lambda: "trainer_ready" in log_of(folder, "trainer"))
        before = LocalStack(folder / ".triagem").postgres.pid
        servers = set(pids_of(LocalStack(folder / ".triagem")))
        children = descendants(process.pid) - servers - set().union(*map(descendants, servers))
        assert len(children) == 6  # gateway, a worker, ops with the process of its tasks, beat, trainer
    finally:
        process.kill()
        process.communicate()
    until(lambda: '"workers": 0' in run(folder, "backlog", "--json"), seconds=60)
    until(lambda: not children & process_parents().keys())
    restarted = triagem(folder, "up", "--workers", "0", models=instant_models, engine="tests.support.engines:noop")
    try:
        assert restarted.stdout
        until(lambda: "Ctrl-C" in (restarted.stdout.readline() if restarted.stdout else ""), seconds=60)
        stack = LocalStack(folder / ".triagem")
        assert stack.postgres.pid == before
        stack.valkey.kill()
        line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S+ Redis was restarted: it had stopped"
        until(lambda: bool(restarted.stdout and re.match(line, restarted.stdout.readline())), seconds=60)
        assert LocalStack(stack.folder).running() is not None
        restarted.send_signal(signal.SIGTERM)
        assert restarted.wait(60) == 0
    finally:
        restarted.kill()
        restarted.communicate()


def test_up_without_a_model_stores_tickets_and_says_what_to_do_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = choose_port()
    with monkeypatch.context() as patch:
        patch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
        process = triagem(folder, "up", models=folder / "none", engine="tests.support.engines:noop", port=port)
    try:
        until(lambda: "gateway_started" in log_of(folder, "gateway") or process.poll() is not None, seconds=90)
        (folder / "export.csv").write_text("id,subject,body\n1,Oi,minha internet caiu\n", encoding="utf-8")
        run(folder, "enqueue", "export.csv", "--source", "crm")
        until(lambda: "tickets_stored_unlabelled" in worker_logs(folder), seconds=60)
        assert json.loads(run(folder, "show", "crm", "1", "--json"))["ticket"]["state"] == "unlabelled"
        with urlopen(f"http://127.0.0.1:{port}/health") as response:
            assert json.load(response)["status"] == "collecting labels"
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=90)
    assert "not used, `triagem up` runs its own Redis and Postgres: TRIAGEM_REDIS_URL\n" in out
    assert (
        f"no model yet: tickets are stored, and your answers make the first model. Start at http://127.0.0.1:{port}/console/"
        in " ".join(out.split())
    )
    assert "link=" not in out  # output that is not a terminal must not contain a link that logs in


def test_up_reports_that_the_gateways_port_is_in_use_before_it_starts_anything(
    folder: Path, instant_models: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = triagem(folder, "up", models=instant_models, engine="tests.support.engines:noop", port=port)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"port {port}" in err
    assert "TRIAGEM_GATEWAY_PORT" in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / ".triagem").exists()


def test_the_demo_kills_a_worker_midway_and_every_ticket_has_its_row(folder: Path, bert_models: Path) -> None:
    process = triagem(folder, "demo", "--json", models=bert_models, engine="triagem.engine.classify:load")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    outcome = json.loads(out)
    assert (outcome["enqueued"], outcome["rows"], outcome["lost"]) == (200, 200, 0)
    assert 0 < outcome["killed_at"] < 200
    assert sum(sum(bands.values()) for bands in outcome["counts"].values()) == 200
    assert LocalStack(folder / ".triagem").running() is None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def test_workers_log_in_as_a_user_that_cannot_change_a_table(
    start_worker: StartWorker, instant_models: Path, database: Database, inbox: Inbox
) -> None:
    def users() -> dict[int, str]:
        query = "SELECT pid, usename FROM pg_stat_activity WHERE application_name = 'triagem'"
        return {row.pid: row.usename for row in database.rows(text(query))}

    before = users()  # open connections of this process
    start_worker(instant_models, "tests.support.engines:noop")
    publish(inbox, 1)
    until(lambda: stored(database) == 1)

    assert {user for pid, user in users().items() if pid not in before} == {"worker"}
