"""A worker that holds its first window until it is released: a slow worker on demand."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.engine import FaultyModel, load
from tests.faults.rig import Rig
from tests.support.pipeline import running
from triagem.contracts.model import Tokens


@dataclass
class DelayedWorker:
    """Controls a worker that is inside its first model call."""

    computing: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the model call return."""
        self.released.set()


@contextmanager
def delayed_worker(rig: Rig) -> Iterator[DelayedWorker]:
    """A pipeline in this process that holds its lease and is computing its first tickets."""
    worker, calls = DelayedWorker(), itertools.count()

    @dataclass(frozen=True)
    class Held(FaultyModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if next(calls) > 0:  # the first call is the self-check
                worker.computing.set()
                worker.released.wait()
            return super().probabilities(batch)

    def hold(folder: Path) -> FaultyModel:
        return Held(load(folder).manifest)

    with running(rig.endpoints, rig.registry.root, hold) as (_, failed):
        try:
            rig.until(worker.computing.is_set)
            yield worker
        finally:
            worker.release()
        assert not failed.is_set(), "the delayed worker failed"
