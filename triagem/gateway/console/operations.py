"""`/console/operations`: runs over stored tickets, dead letters, alerts."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.db.dead import letters, remove
from triagem.db.desk import newest_alerts, newest_runs
from triagem.gateway.console.render import address, go_to, page
from triagem.gateway.console.session import Admin, Form, Reader
from triagem.gateway.replay import replay
from triagem.gateway.room import InRoom

_LETTERS: Final = 100
_SAYINGS: Final = {"replayed", "dropped", "not_replayed"}

router = APIRouter()


@router.get("/operations")
def operations(request: Request, room: InRoom, who: Reader, *, said: str = "", count: int = 0) -> Response:
    """Letters are listed without what they hold."""
    return page(
        request, "operations.html", who, said={"key": said, "count": count} if said in _SAYINGS else None,
        runs=newest_runs(room.database, most=10), letters=letters(room.database, limit=_LETTERS),
        alerts=newest_alerts(room.database, most=20),
    )  # fmt: skip


@router.post("/letter")
def letter(room: InRoom, who: Admin, form: Form) -> Response:  # noqa: ARG001 - the dependency checks
    """Replay a dead letter, or drop it for ever."""
    if not form.get("id", "").isdigit():
        raise InvalidInput("no such letter")
    ids = [int(form["id"])]
    if form.get("act") == "drop":
        return go_to(address("operations", said="dropped", count=remove(room.database, ids)))
    done = replay(room.database, room.inbox, ids=ids, crm=room.crm).replayed
    return go_to(address("operations", said="replayed" if done else "not_replayed", count=done))
