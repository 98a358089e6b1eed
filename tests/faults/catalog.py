"""Definition of a fault: its name, its function, and its size in the short and in the full form."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from tests.faults.rig import Rig


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a fault: number of tickets, repetitions and duration."""

    tickets: int
    times: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`inflict` returns when the inbox is drained, and raises AssertionError if the system misbehaved."""

    name: str
    short: Size
    full: Size
    inflict: Callable[[Rig, Size], None]

    @property
    def slug(self) -> str:
        """The name as a test id."""
        return re.sub(r"\W+", "-", self.name).strip("-")


def fault(name: str, *, short: Size, full: Size) -> Callable[[Callable[[Rig, Size], None]], Fault]:
    """Decorator that turns a function into a fault."""
    return lambda inflict: Fault(name, short, full, inflict)


def faults_of(family: ModuleType) -> Iterable[Fault]:
    """The faults defined in a module, in order."""
    return [value for value in vars(family).values() if isinstance(value, Fault)]
