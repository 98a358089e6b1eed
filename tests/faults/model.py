"""Faults: model versions that break or change while workers run them."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.catalog import Fault, Size, fault
from tests.faults.expectations import identity
from tests.faults.rig import Rig
from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import CURRENT_FILE, MANIFEST_FILE, CurrentModel
from triagem.contracts.ticket import Lane
from triagem.db import runs
from triagem.db.runs import RunPlan
from triagem.ops.reclassify import advance_run


def _broken(name: str, spoil: Callable[[Path], None]) -> Fault:
    @fault(name, short=Size(1000), full=Size(10_000))
    def broken(rig: Rig, size: Size) -> None:
        """A worker keeps its loaded model: neither `promote` nor a manual edit makes it run the broken version."""
        registry = rig.registry
        with rig.producing(size.tickets):
            worker = rig.start()
            rig.busy(worker)
            for version in ("v1.0.0", "v1.1.0"):
                spoil(registry.root / version)
            with pytest.raises((ModelCorrupt, NoModel)):
                registry.promote("v1.1.0")
            by_hand = CurrentModel(version="v1.1.0", epoch=2)
            (registry.root / CURRENT_FILE).write_text(by_hand.model_dump_json(), encoding="utf-8")
            rig.until(lambda: "model_load_failed" in worker.log.read_text(encoding="utf-8"))
            rig.recovers()
        rig.drain()
        rig.expected.current = dict.fromkeys(rig.expected.revisions, "v1.0.0")
        assert rig.workers.running == [worker], "the worker did not survive"

    return broken


def _delete(folder: Path) -> None:
    shutil.rmtree(folder)


def _change(folder: Path) -> None:
    (folder / "weights.txt").write_text("other weights", encoding="utf-8")


def _halve(folder: Path) -> None:
    manifest = folder / MANIFEST_FILE
    manifest.write_bytes(manifest.read_bytes()[:40])


deleted = _broken("the current version's folder deleted", _delete)
changed = _broken("the current version's weights changed", _change)
half_written = _broken("the current version half written", _halve)


@fault("versions swapped under load", short=Size(1200, times=3), full=Size(10_000, times=20))
def swapped(rig: Rig, size: Size) -> None:
    """Each row names the version that classified it; its label proves it."""
    with rig.producing(size.tickets):
        worker, _ = rig.start(), rig.start()
        for swap in range(size.times):
            rig.busy(worker, stored=size.tickets * 0.8 * swap / size.times)
            rig.registry.promote("v1.0.0" if swap % 2 else "v1.1.0")
            time.sleep(0.2)  # two registry polls
        rig.recovers()
    rig.drain()
    used = rig.versions()
    assert used == {"v1.0.0", "v1.1.0"}, f"only {used} classified tickets: no swap happened"


@fault("a registry that hangs while a run waits for its version", short=Size(200), full=Size(2000))
def registry_hangs(rig: Rig, size: Size) -> None:
    """Bulk tickets for the loaded version pass the run's entries, which are processed once the registry answers."""
    stored = rig.publish(size.tickets)
    worker = rig.start()
    rig.drain()
    runs.start(rig.database, RunPlan("v1.1.0", epoch=1, shadow=True))
    with _hanging(rig.registry.root / CURRENT_FILE), _hanging(rig.registry.root / "v1.1.0" / MANIFEST_FILE):
        advance_run(rig.database, rig.inbox, rig.registry, datetime.now(UTC))
        imported = rig.publish(size.tickets, lane=Lane.BULK)
        rig.until(lambda: rig.stored() == len(stored) + len(imported))
        rig.until(lambda: "has not answered" in worker.log.read_text(encoding="utf-8"))
        assert rig.versions() == {"v1.0.0"}
    rig.drain()
    rig.expected.versions = {identity(ticket): {"v1.0.0", "v1.1.0"} for ticket in stored}
    rig.expected.current = dict.fromkeys(rig.expected.revisions, "v1.0.0")
    assert (run := runs.find(rig.database))
    assert run.done == len(stored), f"the run classified {run.done} of {len(stored)} tickets"
    assert rig.workers.running == [worker], "the worker did not survive"


@contextmanager
def _hanging(file: Path) -> Iterator[None]:
    """Make reading the file block forever: replace it by a FIFO without a writer."""
    kept = file.with_name(f".{file.name}.kept")
    file.rename(kept)
    os.mkfifo(file)
    try:
        yield
    finally:
        kept.replace(file)
