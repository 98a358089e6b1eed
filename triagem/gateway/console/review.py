"""`/console/review`: texts one by one, blind, a key for each answer. What is in hand is leased to one person."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import plain
from triagem.contracts.ticket import identify
from triagem.db.desk import in_hand, last_verdict
from triagem.db.draws import Drawn, third_look
from triagem.db.reviews import Missed, draw, judge, undo
from triagem.gateway.console.choices import known_labels
from triagem.gateway.console.keys import Act, Keys
from triagem.gateway.console.render import address, go_to, page
from triagem.gateway.console.session import Form, Reviewer
from triagem.gateway.room import InRoom, Room

_BACK_TO: Final = timedelta(days=30)
_MOST_SKIPPED: Final = 50

router = APIRouter()

# Skipped tickets stand in the address: forgotten with it, and then they come again.
_Skipped = Annotated[str, Query(max_length=1000, pattern=r"^(\d{1,18}(\.\d{1,18})*)?$")]


@router.get("/review")
def review(request: Request, room: InRoom, who: Reviewer, skipped: _Skipped = "", said: str = "") -> Response:
    """The text in hand, or the next one."""
    but = _ids(skipped)
    asked = in_hand(room.database, who.name, but=but) or _next(room, who.name, but)
    labels = known_labels(room)
    keys = Keys(labels)
    told = {"key": said} if said in {"taken_back", "nothing_to_undo", "missed_changed", "missed_gone"} else None
    if said.startswith("saved:") and (label := said.removeprefix("saved:")) in labels:
        told = {"key": "saved", "label": label}
    return page(
        request, "review.html", who, said=told, asked=asked, text=plain(asked.text) if asked else "", skipped=skipped,
        labels={label: keys.labels[label].split("/") for label in labels},
        acts={act.value: keys.acts[act] for act in (Act.UNCLEAR, Act.SKIP, Act.BACK)},
    )  # fmt: skip


@router.post("/review")
def answer(room: InRoom, who: Reviewer, form: Form) -> Response:
    """A label, "unclear", skip or undo; then the next text."""
    skipped, act = form.get("skipped", ""), form.get("act", "")
    if act == Act.BACK:
        verdict = last_verdict(room.database, who.name)
        undone = verdict is not None and undo(room.database, verdict)
        return go_to(address("review", skipped=skipped, said="taken_back" if undone else "nothing_to_undo"))
    if act == Act.SKIP:
        kept = [*_ids(skipped), *_ids(form.get("ticket_id", ""))][-_MOST_SKIPPED:]
        return go_to(address("review", skipped=".".join(map(str, kept))))
    label = None if act == Act.UNCLEAR else form.get("label", "")
    if label is not None and label not in known_labels(room):
        raise InvalidInput("no such label")
    whose = identify(form.get("source", ""), form.get("id", ""))
    try:
        seen = bytes.fromhex(form.get("digest", ""))
    except ValueError:
        raise InvalidInput("no such text") from None
    said = judge(room.database, whose, label, who.name, digest=seen)
    told = f"missed_{said.name.lower()}" if isinstance(said, Missed) else f"saved:{label}" if label else ""
    return go_to(address("review", skipped=skipped, said=told))


def _next(room: Room, reviewer: str, but: list[int]) -> Drawn | None:
    since: datetime = room.now() - _BACK_TO
    version = room.registry.current().version
    if disputed := third_look(room.database, reviewer, since=since):
        return disputed
    drawn = draw(room.database, reviewer, 1, version=version, since=since)
    return next((one for one in drawn if one.ticket_id not in but), None)


def _ids(dotted: str) -> list[int]:
    return [int(one) for one in dotted.split(".") if one.isdigit()][-_MOST_SKIPPED:]
