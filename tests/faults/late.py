"""A worker that holds its first window until it is told to go on: what is slow on a bad day, exactly when wanted."""

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
class Late:
    """Between the model's call and its answer."""

    computing: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Let it answer."""
        self.released.set()


@contextmanager
def late_worker(rig: Rig) -> Iterator[Late]:
    """A pipeline of this process, alive and with its lease, that has taken tickets and computes the first ones."""
    late, asked = Late(), itertools.count()

    @dataclass(frozen=True)
    class Held(FaultyModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if next(asked) > 0:  # the first is the self-check
                late.computing.set()
                late.released.wait()
            return super().probabilities(batch)

    def hold(folder: Path) -> FaultyModel:
        return Held(load(folder).manifest)

    with running(rig.endpoints, rig.registry.root, hold) as (_, failed):
        try:
            rig.until(late.computing.is_set)
            yield late
        finally:
            late.go_on()
        assert not failed.is_set(), "the late worker failed"
