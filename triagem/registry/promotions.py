"""`promotions.jsonl`: who was current from when on and why, a line each; and where a rollback leads. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from triagem.contracts.model import CurrentModel, Version


class Why(BaseModel):
    """How a promotion came about: what the gate said by which rule, or that it was a rollback, or that nobody asked.

    `forced`: it took place although the gate said no. `reason` is the person's, or the gate's.
    """

    model_config = ConfigDict(frozen=True)

    decision: Literal["promote", "reject", "rollback", "unasked"] = "unasked"
    rule: str | None = None
    forced: bool = False
    reason: str = ""


class Promotion(Why):
    """One line. `former` is what was current before, None at the first."""

    at: datetime
    version: Version
    epoch: int
    former: Version | None


def parse(content: bytes) -> list[Promotion]:
    """The log's lines, oldest first; one that cannot be read is passed over: a log must not stop a rollback."""
    found = []
    for line in content.splitlines():
        try:
            found.append(Promotion.model_validate_json(line))
        except ValidationError:
            continue
    return found


def before(current: CurrentModel, log: Iterable[Promotion], versions: Sequence[str]) -> str | None:
    """The version that a rollback leads to, one of those registered (`versions`, oldest number first), or None.

    It goes back along the versions that have been current, as one goes back along visited pages: a rollback takes the
    present version off, so that a second one leads further back, not to where the first came from. Only where the log
    does not reach back to the first promotion (older registries have none), numbers decide: the version before.
    """
    trail: list[str] = []
    known = _in_effect(log, current)
    for one in known:
        if one.former is not None and (not trail or trail[-1] != one.former):
            trail.append(one.former)
        if one.decision == "rollback":
            while trail and trail.pop() != one.version:
                pass
        trail.append(one.version)
    if left := [version for version in trail if version in versions and version != current.version]:
        return left[-1]
    if current.version not in versions or (known and known[0].former is None):
        return None
    place = versions.index(current.version)
    return versions[place - 1] if place else None


def _in_effect(log: Iterable[Promotion], current: CurrentModel) -> list[Promotion]:
    """Without lines that were written and then cut off before `current` changed: their epochs went to others."""
    by_epoch = {
        one.epoch: one
        for one in log
        if one.epoch < current.epoch or (one.version, one.epoch) == (current.version, current.epoch)
    }
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]
