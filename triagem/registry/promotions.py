"""Promotion log (`promotions.jsonl`), one line per promotion or rollback, and the target of a rollback. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from triagem.contracts.model import CurrentModel, Version

FIRST_HEAD: Final = "the first version: everything is reviewed until its precision is proved"


class PromotionReason(BaseModel):
    """The reason for a change of the current version.

    `decision` is the gate's, `rollback`, or `ungated` if the gate was not run; `rule` is the gate's rule. `forced`:
    promoted although the gate rejected the version. `reason` is given by the person or the gate.
    """

    model_config = ConfigDict(frozen=True)

    decision: Literal["promote", "reject", "rollback", "ungated"] = "ungated"
    rule: str | None = None
    forced: bool = False
    reason: str = ""


class Promotion(PromotionReason):
    """A line of the log. `previous` is the version that was current before; None in the first line."""

    at: datetime
    version: Version
    epoch: int
    previous: Version | None


def parse_log(content: bytes) -> list[Promotion]:
    """The log's lines, oldest first. Unreadable lines are skipped: the log must not block a rollback."""
    promotions = []
    for line in content.splitlines():
        try:
            promotions.append(Promotion.model_validate_json(line))
        except ValidationError:
            continue
    return promotions


def rollback_target(current: CurrentModel, log: Iterable[Promotion], versions: Sequence[str]) -> str | None:
    """The version a rollback returns to, out of the registered `versions` (oldest number first), or None.

    Works like a browser's back button over the versions that have been current: each rollback removes the current
    version from the trail. So a second rollback goes further back, and does not undo the first rollback. If the log
    does not reach back to the first promotion (older registries have none), the target is the version with the next
    lower number.
    """
    trail: list[str] = []
    promotions = promotions_in_effect(log, current)
    for promotion in promotions:
        if promotion.previous is not None and (not trail or trail[-1] != promotion.previous):
            trail.append(promotion.previous)
        if promotion.decision == "rollback":
            while trail and trail.pop() != promotion.version:
                pass
        trail.append(promotion.version)
    if left := [version for version in trail if version in versions and version != current.version]:
        return left[-1]
    if current.version not in versions or (promotions and promotions[0].previous is None):
        return None
    index = versions.index(current.version)
    return versions[index - 1] if index else None


def promotions_in_effect(log: Iterable[Promotion], current: CurrentModel) -> list[Promotion]:
    """Drop lines whose promotion was interrupted before `current` changed: their epochs were assigned again."""
    by_epoch = {
        promotion.epoch: promotion
        for promotion in log
        if promotion.epoch < current.epoch or (promotion.version, promotion.epoch) == (current.version, current.epoch)
    }
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]
