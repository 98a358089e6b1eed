"""`/console/overview`: backlog, throughput, workers, current model, recent results and alerts. Refreshes itself."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import NoModel
from triagem.contracts.model import Manifest
from triagem.contracts.ticket import Lane
from triagem.db.console_queries import newest_alerts, recent_tickets
from triagem.gateway.console import charts
from triagem.gateway.console.labels import known_labels
from triagem.gateway.console.render import render_page
from triagem.gateway.console.session import Reader
from triagem.gateway.console.throughput import ThroughputMeter
from triagem.gateway.services import Services, ServicesDep
from triagem.inbox.desired import paused
from triagem.inbox.lease import worker_states

_MAX_TICKETS: Final = 5000
ALARM: Final = 0.2  # from the original specification: more than a fifth below the threshold

router = APIRouter()


@dataclass(frozen=True, slots=True)
class CurrentModel:
    """The version that workers should run, and since when."""

    manifest: Manifest
    epoch: int
    since: datetime | None


def current_model(services: Services) -> CurrentModel | None:
    """The current model; None before the first promotion."""
    with suppress(NoModel):
        current = services.registry.current()
        times = [promotion.at for promotion in services.registry.promotions() if promotion.epoch == current.epoch]
        return CurrentModel(services.registry.manifest(current.version), current.epoch, times[-1] if times else None)
    return None


@router.get("/overview")
def overview(request: Request, services: ServicesDep, visitor: Reader) -> Response:
    """The page; its script reloads it every ten seconds."""
    meter: ThroughputMeter = request.app.state.throughput_meter
    depths = {lane: services.inbox.depth(lane) for lane in Lane}
    rate, backlog = meter.per_second(), sum(depth.waiting + depth.in_flight for depth in depths.values())
    newest, model = recent_tickets(services.database, limit=_MAX_TICKETS), current_model(services)
    labels = known_labels(services)
    threshold = model.manifest.thresholds.review if model else 0.7
    below = sum(ticket.confidence < threshold for ticket in newest) / len(newest) if newest else 0.0
    points = [(ticket.received_at, ticket.label) for ticket in newest]
    return render_page(
        request, "overview.html", visitor,
        now=services.now(), depths=depths, rate=rate, drain_s=backlog / rate if rate else None,
        states=worker_states(services.inbox.redis), is_paused=paused(services.inbox.redis), model=model,
        count=len(newest), threshold=threshold, below=below, alarm=below > ALARM, labels=labels,
        histogram=charts.histogram((ticket.confidence, ticket.band) for ticket in newest),
        timeline=charts.over_time(points, labels) if newest else None,
        width=charts.WIDTH, height=charts.HEIGHT, alerts=newest_alerts(services.database, limit=5),
    )  # fmt: skip
