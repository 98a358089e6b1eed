"""Faults: reclassification runs whose ops worker, checks or version are lost on the way."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.rig import Rig
from tests.faults.workers import ROOT
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.db import runs
from triagem.db.runs import ReclassifyRun, RunPlan
from triagem.inbox.stream import stream_key
from triagem.ops.reclassify import advance_run, start_nightly_run
from triagem.ops.settings import OpsSettings


def _stored(rig: Rig, size: Size) -> None:
    """Tickets that the previous version has classified; another one is current now."""
    rig.start()
    rig.publish(size.tickets)
    rig.drain()
    rig.registry.promote("v1.1.0")
    rig.expected.current = dict.fromkeys(rig.expected.revisions, "v1.1.0")
    rig.expected.versions = {key: {"v1.0.0", "v1.1.0"} for key in rig.expected.revisions}


def _start(rig: Rig) -> None:
    current = rig.registry.current()
    runs.start(rig.database, RunPlan(current.version, current.epoch))


def _advance(rig: Rig) -> ReclassifyRun:
    advance_run(rig.database, rig.inbox, rig.registry, datetime.now(UTC))
    run = runs.find(rig.database)
    assert run
    return run


def _finished(rig: Rig, size: Size, run: Callable[[], ReclassifyRun | None], *, seen: int = 0) -> None:
    """Wait for the end of the run, and compare its counts with the tickets that it considered."""

    def has_ended() -> bool:
        current = run()
        return current is not None and not current.active

    rig.until(has_ended, seconds=120)
    rig.drain()
    ended = runs.find(rig.database)
    assert ended
    counts = (ended.state, ended.put, ended.processed)
    assert counts == ("done", size.tickets - seen, size.tickets - seen), f"the run ended with {counts}"


@fault("ops killed while a run is under way", short=Size(2500, times=3), full=Size(20_000, times=15))
def ops_killed(rig: Rig, size: Size) -> None:
    _stored(rig, size)
    _start(rig)
    settings = {
        "TRIAGEM_REGISTRY_URL": str(rig.registry.root),
        "TRIAGEM_RECLASSIFY_EVERY": "1s",
        "PYTHONPATH": str(ROOT),
    }

    def process(name: str) -> WorkerProcess:
        return WorkerProcess(rig.endpoints, rig.folder / f"{name}.log", name, **settings)

    beat, ops = process("beat"), process("ops")
    try:
        for number in range(size.times):
            put = size.tickets * number // (size.times + 1)
            rig.until(lambda put=put: (run := runs.find(rig.database)) is not None and run.put > put)  # type: ignore[misc]
            ops.kill()
            rig.expected.kills += 1
            ops = process("ops")
        _finished(rig, size, lambda: runs.find(rig.database))
    finally:
        beat.kill()
        ops.kill()


@fault("the checks of a run lost by Redis", short=Size(1500), full=Size(10_000))
def checks_lost(rig: Rig, size: Size) -> None:
    _stored(rig, size)
    rig.workers.kill_all()
    _start(rig)
    _advance(rig)
    rig.inbox.redis.delete(stream_key(Lane.BULK))
    rig.inbox.create_groups()
    rig.start()
    _finished(rig, size, lambda: _advance(rig))


@fault("a bulk lane smaller than a page of a run", short=Size(300), full=Size(3000))
def small_lane(rig: Rig, size: Size) -> None:
    _stored(rig, size)
    _start(rig)
    rig.inbox.settings.bulk_high_water = 100
    _finished(rig, size, lambda: _advance(rig))


@fault("a promotion during a nightly run", short=Size(1500), full=Size(10_000))
def promotion(rig: Rig, size: Size) -> None:
    """The run starts again in the same night, for the new version."""
    _stored(rig, size)
    night = OpsSettings(reclassify_until="06:00")
    start_nightly_run(rig.database, rig.registry, night, datetime.now(UTC))
    rig.until(lambda: _advance(rig).processed > 0)
    rig.registry.promote("v1.0.0")
    rig.registry.promote("v1.1.0")
    assert _advance(rig).processed == 0, "it did not start again"
    rig.drain()
    with rig.database.autocommit() as connection:
        query = "SELECT count(*) FROM predictions WHERE model_version = 'v1.1.0'"
        seen = int(connection.execute(text(query)).scalar_one())
    _finished(rig, size, lambda: _advance(rig), seen=seen)
