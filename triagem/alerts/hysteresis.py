"""Hysteresis for system alerts: several bad checks open an alert, several good ones resolve it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Opens after `bad_checks` bad checks among the last `last_checks`, resolves after `good_checks` in a row."""

    bad_checks: int = 2
    last_checks: int = 3
    good_checks: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.bad_checks <= self.last_checks or self.good_checks < 1:
            raise ValueError("expected 1 <= bad_checks <= last_checks and good_checks >= 1")


def update(
    is_open: bool, recent: tuple[bool, ...], bad: bool, hysteresis: Hysteresis
) -> tuple[bool, tuple[bool, ...]]:
    """Whether the alert is open after one more check, and the checks to pass as `recent` next time.

    Args:
        recent: the second value returned after the previous check (`True` is bad); empty at first.
    """
    if is_open:
        streak = () if bad else (*recent, False)
        return (False, ()) if len(streak) >= hysteresis.good_checks else (True, streak)
    checks = (*recent, bad)[-hysteresis.last_checks :]
    return (True, ()) if sum(checks) >= hysteresis.bad_checks else (False, checks)
