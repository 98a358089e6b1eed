"""When a window alert opens and when it is resolved: not at the first bad look, nor at the first good one. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Opens at `bad` bad looks among the last `of`, is resolved after `good` good ones in a row."""

    bad: int = 2
    of: int = 3
    good: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.bad <= self.of or self.good < 1:
            raise ValueError("expected 1 <= bad <= of and good >= 1")


def look(is_open: bool, recent: tuple[bool, ...], bad: bool, patience: Patience) -> tuple[bool, tuple[bool, ...]]:
    """Whether it is open after one more look, and the looks that count for the next one.

    Args:
        recent: as it was returned after the last look; `True` is bad. Empty at the beginning.
    """
    if is_open:
        streak = () if bad else (*recent, False)
        return (False, ()) if len(streak) >= patience.good else (True, streak)
    last = (*recent, bad)[-patience.of :]
    return (True, ()) if sum(last) >= patience.bad else (False, last)
