"""One turn over what is due: each target for itself, for a few seconds; and what an attempt's verdict comes to."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

from triagem.outgoing.request import Again, Delivered, GiveUp, Verdict
from triagem.outgoing.verdict import backoff

Became = Literal["waiting", "delivered", "gave-up", "overtaken"]

# About a day: doubled from 5 s to an hour, then hourly.
MOST_ATTEMPTS: Final = 30
_BUDGET_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be noted of a delivery after an attempt; what waits is due again after so many seconds."""

    state: Became
    reason: str | None = None
    after_s: float = 0.0


def outcome(verdict: Verdict | None, attempts: int, jitter: float) -> Outcome:
    """What a verdict comes to after so many attempts; None: there was nothing to tell any more."""
    match verdict:
        case None:
            return Outcome("overtaken")
        case Delivered():
            return Outcome("delivered")
        case Again(reason) if attempts >= MOST_ATTEMPTS:
            return Outcome("gave-up", f"{reason}, after {attempts} attempts")
        case Again(reason, asked):
            return Outcome("waiting", reason, backoff(attempts, asked, jitter))
        case GiveUp(reason):
            return Outcome("gave-up", reason)


def turn(targets: Sequence[str], attempt: Callable[[str], Became | None], *, at_once: int) -> Counter[Became]:
    """Try what is due; how many became what. Of a target that is away, the others are left: they would wait as long.

    Nobody is waited for longer than an attempt takes: what is left is due at the next turn.

    Args:
        attempt: takes one thing of a target in hand, sends it and notes what became of it; None: nothing is due.
        at_once: of one target.
    """
    until = time.monotonic() + _BUDGET_S

    def empty(target: str) -> Counter[Became]:
        done = Counter[Became]()
        while time.monotonic() < until and (state := attempt(target)):
            done[state] += 1
            if state == "waiting":
                break
        return done

    with ThreadPoolExecutor(at_once * len(targets) or 1, thread_name_prefix="tell") as pool:
        return sum(pool.map(empty, [*targets] * at_once), Counter[Became]())
