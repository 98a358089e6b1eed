"""What a fault is: a sentence, what is done, and how much of it in the short form and in the full one."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from tests.faults.rig import Rig


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a fault: among so many tickets, so often, for so long."""

    tickets: int
    times: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`inflict` ends when all is drained, and raises AssertionError if something went otherwise than it must."""

    name: str
    short: Size
    full: Size
    inflict: Callable[[Rig, Size], None]

    @property
    def slug(self) -> str:
        """The name as a test's id."""
        return re.sub(r"\W+", "-", self.name).strip("-")


def fault(name: str, *, short: Size, full: Size) -> Callable[[Callable[[Rig, Size], None]], Fault]:
    """Make a fault of a function."""
    return lambda inflict: Fault(name, short, full, inflict)


def faults_of(family: ModuleType) -> Iterable[Fault]:
    """The faults that a file defines, in its order."""
    return [one for one in vars(family).values() if isinstance(one, Fault)]
