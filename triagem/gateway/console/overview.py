"""`/console/overview`: what waits, who works, what came of late and how sure the model was. Refreshes itself."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import NoModel
from triagem.contracts.model import Manifest
from triagem.contracts.ticket import Lane
from triagem.db.desk import newest_alerts, recent
from triagem.gateway.console import charts
from triagem.gateway.console.choices import known_labels
from triagem.gateway.console.pace import Pace
from triagem.gateway.console.render import page
from triagem.gateway.console.session import Reader
from triagem.gateway.room import InRoom, Room
from triagem.inbox.desired import paused
from triagem.inbox.lease import workers

_NEWEST: Final = 5000
ALARM: Final = 0.2  # the seed document's: more than a fifth below the threshold

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Running:
    """The version that workers should run, and since when."""

    manifest: Manifest
    epoch: int
    since: datetime | None


def running(room: Room) -> Running | None:
    """None before the first promotion."""
    with suppress(NoModel):
        current = room.registry.current()
        moves = [move.at for move in room.registry.promotions() if move.epoch == current.epoch]
        return Running(room.registry.manifest(current.version), current.epoch, moves[-1] if moves else None)
    return None


@router.get("/overview")
def overview(request: Request, room: InRoom, who: Reader) -> Response:
    """The page; its script asks for it again every ten seconds."""
    pace: Pace = request.app.state.pace
    depths = {lane: room.inbox.depth(lane) for lane in Lane}
    rate, backlog = pace.per_second(), sum(depth.waiting + depth.in_flight for depth in depths.values())
    newest, model = recent(room.database, most=_NEWEST), running(room)
    labels = known_labels(room)
    threshold = model.manifest.thresholds.review if model else 0.7
    below = sum(one.confidence < threshold for one in newest) / len(newest) if newest else 0.0
    return page(
        request, "overview.html", who,
        now=room.now(), depths=depths, rate=rate, drain_s=backlog / rate if rate else None,
        states=workers(room.inbox.redis), held=paused(room.inbox.redis), model=model,
        count=len(newest), threshold=threshold, below=below, alarm=below > ALARM, labels=labels,
        histogram=charts.histogram((one.confidence, one.band) for one in newest),
        timeline=charts.over_time([(one.received_at, one.label) for one in newest], labels) if newest else None,
        width=charts.WIDTH, height=charts.HEIGHT, alerts=newest_alerts(room.database, most=5),
    )  # fmt: skip
