"""Rolling upgrade: the previous release keeps running while this one migrates, starts, promotes and takes over."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.model_versions import two_versions
from tests.faults.workers import ROOT, WorkerProcesses
from tests.support.previous_release import PREVIOUS_REVISION, Release, extract_release, own_database
from tests.support.runs import finish_run
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs
from triagem.db.runs import RunPlan
from triagem.db.upgrade import upgrade
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.desired import pause, resume
from triagem.inbox.lease import live_worker_count
from triagem.ops.app import ops_app
from triagem.ops.reclassify import WAITS_FOR_OLD_WORKERS
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry


@dataclass(frozen=True)
class Rolling:
    """Both releases, and what they share. The tables are those of the previous one; v1.0.0 is current."""

    before: Release
    now: Release
    workers: WorkerProcesses
    database: Database
    inbox: Inbox
    registry: Registry

    def start(self, *releases: Release) -> list[WorkerProcess]:
        """A worker of each release, with its lease acquired."""
        present = live_worker_count(self.inbox.redis)
        started = [self.workers.start(FAULT_SECONDS_PER_TEXT=0.005, **release.environment) for release in releases]
        until(lambda: live_worker_count(self.inbox.redis) == present + len(started), seconds=60)
        return started

    @contextmanager
    def ops(self) -> Iterator[WorkerProcess]:
        """This release's ops worker, with a task that advances the active run."""
        with (
            WorkerProcess(
                self.now.endpoints,
                self.registry.root.with_name("ops.log"),
                "ops",
                TRIAGEM_REGISTRY_URL=str(self.registry.root),
                **self.now.environment,
            ) as process,
            ops_app(self.now.endpoints.broker_url, OpsSettings()) as app,
        ):
            app.send_task("triagem.reclassify.pages", queue="ops")
            yield process

    @contextmanager
    def paused(self, *workers: WorkerProcess) -> Iterator[None]:
        """Pause all workers meanwhile, so that afterwards each of them finds entries to fetch."""
        pause(self.inbox.redis)
        self.wait_for_log("paused", *workers)
        until(lambda: not any(map(self.workers.is_busy, workers)))
        before = self.stored()
        yield
        assert self.stored() == before
        resume(self.inbox.redis)

    def wait_until_busy(self, *workers: WorkerProcess) -> None:
        until(lambda: all(map(self.workers.is_busy, workers)))

    def wait_for_log(self, word: str, *workers: WorkerProcess) -> None:
        until(lambda: all(f'"{word}"' in worker.log.read_text() for worker in workers))

    def rows(self, statement: str) -> list[Any]:
        with self.database.autocommit() as connection:
            return list(connection.execute(text(statement)))

    def stored(self) -> int:
        return int(self.rows("SELECT count(*) FROM tickets")[0][0])

    def assert_each_exactly_once(self, ids: list[str]) -> None:
        until(lambda: not any(self.inbox.redis.xlen(f"triagem:{{0}}:{lane}") for lane in Lane), seconds=60)
        assert sorted(row.external_id for row in self.rows("SELECT external_id FROM results")) == sorted(ids)
        assert self.rows("SELECT count(*) FROM predictions")[0][0] == len(ids)
        assert self.rows("SELECT reason FROM dead_letters") == []
        assert [self.inbox.in_flight(lane) for lane in Lane] == [0, 0]
        assert self.inbox.quarantined() == 0


def unusual_lines(process: WorkerProcess) -> list[str]:
    """The lines of a log that are not routine."""
    routine = ('"level": "info"', "worker: Warm shutdown")
    lines = process.log.read_text().splitlines()
    return [line for line in lines if line and not any(pattern in line for pattern in routine)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release before this one."""
    return extract_release(tmp_path_factory.mktemp("previous"))


@pytest.fixture
def rolling(tree: Path, endpoints: Endpoints, tmp_path: Path) -> Iterator[Rolling]:
    with own_database(endpoints) as own, Database(own.database_url) as database:
        before, now = Release(tree, own), Release(ROOT, own)
        before.triagem("db", "upgrade")
        inbox = Inbox(connect(own.redis_url), InboxSettings())
        inbox.create_groups()
        registry = two_versions(tmp_path / "models")
        workers = WorkerProcesses(own, inbox, registry.root, tmp_path)
        yield Rolling(before, now, workers, database, inbox, registry)
        workers.kill_all()


def test_no_migration_of_the_previous_release_was_changed_since(tree: Path) -> None:
    migrations = list((tree / "db/migrations/versions").glob("r*.py"))
    assert len(migrations) == int(PREVIOUS_REVISION)
    for file in migrations:
        now = (ROOT / file.relative_to(tree)).read_bytes()
        assert file.read_bytes() == now.replace(b"from triagem.db.", b"from db.")


def test_the_previous_release_works_on_while_this_one_migrates_and_takes_over(rolling: Rolling) -> None:
    before, now = rolling.before, rolling.now
    (old,) = rolling.start(before)
    ids = before.enqueue("before", 1000)
    until(lambda: rolling.stored() > 0)
    assert upgrade(rolling.database)[0] == PREVIOUS_REVISION
    assert rolling.stored() < 1000
    (new,) = rolling.start(now)
    with rolling.paused(old, new):
        ids += now.enqueue("new", 300, lane="bulk") + before.enqueue("old", 300)
    rolling.wait_until_busy(old, new)
    rolling.registry.promote("v1.1.0")
    rolling.wait_for_log("v1.1.0", old, new)
    runs.start(rolling.database, RunPlan("v1.1.0", epoch=2, shadow=True, force=True, max_tickets=100))
    with rolling.ops() as ops:
        until(
            lambda: rolling.rows("SELECT reason, put FROM reclassify_runs") == [(WAITS_FOR_OLD_WORKERS, 0)],
            seconds=60,
        )
    assert old.stop() == 0
    rolling.assert_each_exactly_once(ids)
    assert finish_run(rolling.database, rolling.inbox, rolling.registry.root).done == 100
    assert rolling.rows("SELECT reason FROM dead_letters") == []
    assert unusual_lines(old) == unusual_lines(new) == unusual_lines(ops) == []


@pytest.mark.parametrize("rolled", ["forward", "back"])
def test_entries_of_a_killed_worker_are_reclaimed_by_one_of_the_other_release(rolling: Rolling, rolled: str) -> None:
    """Both start on the newer tables; of a rollback only the processes are rolled back."""
    upgrade(rolling.database)
    old, new = rolling.start(rolling.before, rolling.now)
    with rolling.paused(old, new):
        ids = rolling.before.enqueue("old", 400) + rolling.now.enqueue("new", 200, lane="bulk")
    rolling.wait_until_busy(old, new)
    killed, survivor = (old, new) if rolled == "forward" else (new, old)
    killed.kill()
    assert rolling.workers.pending(killed)
    rolling.assert_each_exactly_once(ids)
    assert unusual_lines(killed) == []
    quarantined = "entries_quarantined" if survivor is new else "a worker died at work on these"
    assert all(quarantined in line for line in unusual_lines(survivor))
