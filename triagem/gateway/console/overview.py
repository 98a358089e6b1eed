"""`/console/overview`: backlog, throughput, workers, current model, recent results and alerts. Refreshes itself."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.ticket import Lane
from triagem.db.model_versions import had_model
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.tickets.queries import recent_tickets
from triagem.gateway.console.messages import Lang
from triagem.gateway.console.render import format_minute, format_number, language, page_zone, render_page
from triagem.gateway.console.session import Reader
from triagem.gateway.console.tickets import label_context
from triagem.gateway.services import ServicesDep
from triagem.inbox import Inbox
from triagem.inbox.lease import observed_states, paused
from triagem.notify.monitor import LAST_TICKETS, MIN_TICKETS, MonitorSettings, recent_live_stats
from triagem.ops.labelling import made_from_answers

# Bar charts, in units of the SVG's view box. A chart library would be larger than the page.
_WIDTH: Final = 480
_HEIGHT: Final = 150
_GAP: Final = 2
_MIN_SPAN_S: Final = 3.0
_MAX_SPAN_S: Final = 120.0


class ThroughputMeter:
    """Measures the throughput of the last two minutes, once for all visitors of this gateway."""

    def __init__(self, inbox: Inbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox = inbox
        self._clock = clock
        self._readings: deque[tuple[float, int]] = deque()

    def per_second(self) -> float | None:
        """The rate since the oldest reading; None if that is under three seconds old. Raises InboxUnavailable."""
        now, acked = self._clock(), sum(self._inbox.acked(lane) for lane in Lane)
        if self._readings and self._readings[-1][1] > acked:  # the counter fell: Redis was emptied
            self._readings.clear()
        while self._readings and self._readings[0][0] < now - _MAX_SPAN_S:
            self._readings.popleft()
        if not self._readings or now - self._readings[-1][0] >= 1:
            self._readings.append((now, acked))
        since, before = self._readings[0]
        return (acked - before) / (now - since) if now - since >= _MIN_SPAN_S else None


_MAX_TICKETS: Final = 5000

router = APIRouter()


@router.get("/overview")
def overview(request: Request, services: ServicesDep, visitor: Reader) -> Response:
    """Show the page. Its script reloads the page every five seconds."""
    meter: ThroughputMeter = request.app.state.throughput_meter
    depths = {lane: services.inbox.depth(lane) for lane in Lane}
    is_paused = paused(services.inbox.redis)
    rate, backlog = meter.per_second(), sum(depth.waiting + depth.in_flight for depth in depths.values())
    newest, model = recent_tickets(services.database, limit=_MAX_TICKETS), services.current_manifest()
    lang, context = language(request), label_context(services)
    now, limits = services.now(), MonitorSettings()
    live = recent_live_stats(services.database, limits, now, worker_since=now)
    share = live.unsure / live.tickets if live.tickets else 0.0
    checked = "unsure-share" not in limits.disabled_kinds
    promotions = [entry.at for entry in services.registry.promotions() if model and entry.version == model.version]
    points = [(ticket.received_at, ticket.label) for ticket in newest]
    return render_page(
        request, "overview.html", visitor,
        now=now, depths=depths, rate=rate, drain_s=backlog / rate if rate and not is_paused else None,
        states=observed_states(services.inbox.redis), is_paused=is_paused, model=model,
        lost=model is None and had_model(services.database),
        from_answers=model is not None and made_from_answers(services.database, model),
        since=promotions[-1] if promotions else None, count=len(newest), live_count=live.tickets,
        least_tickets=LAST_TICKETS,
        unsure_share=share, unsure_under=limits.unsure_under, limit=limits.unsure_share if checked else None,
        alarm=checked and live.tickets >= MIN_TICKETS and share > limits.unsure_share, **context,
        histogram=_histogram(lang, [(ticket.confidence, ticket.band) for ticket in newest]),
        timeline=_over_time(lang, points, context["colors"]) if newest else None,
        width=_WIDTH, height=_HEIGHT, alerts=newest_alerts(services.database, limit=5),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bar:
    """A rectangle. `kind` is its CSS class, `hint` its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    hint: str


def _histogram(lang: Lang, values: Iterable[tuple[float, str]], *, bins: int = 20) -> list[_Bar]:
    """Bars of confidences from 0 to 1, stacked by band."""
    counts = Counter((min(bins - 1, int(value * bins)), f"band-{band}") for value, band in values)
    limits = [format_number(lang, column / bins, 2) for column in range(bins + 1)]
    return _stacked(lang, counts, [f"{low}\N{EN DASH}{high}" for low, high in pairwise(limits)])


def _over_time(
    lang: Lang, points: Sequence[tuple[datetime, str]], colors: Mapping[str, int], *, bins: int = 24
) -> tuple[list[_Bar], datetime, datetime]:
    """Bars of label counts over equal time spans, with the first and the last time. Needs at least one point."""
    first, last = min(time for time, _ in points), max(time for time, _ in points)
    span = (last - first) / bins
    columns = ((min(bins - 1, int((time - first) / span)) if span else 0, label) for time, label in points)
    counts = Counter((column, f"l{colors.get(label, 5)} {label}") for column, label in columns)
    names = [format_minute(lang, page_zone(), first + span * column) for column in range(bins)]
    return _stacked(lang, counts, names), first, last


def _stacked(lang: Lang, counts: Mapping[tuple[int, str], int], names: Sequence[str]) -> list[_Bar]:
    """Bars of the counts by column and kind: a CSS class, and a label for the tooltip."""
    heights = Counter[int]()
    for (column, _), count in counts.items():
        heights[column] += count
    highest, width, bars = max(heights.values(), default=1), _WIDTH / len(names), list[_Bar]()
    tops = [float(_HEIGHT)] * len(names)
    for (column, kind), count in sorted(counts.items()):
        height = _HEIGHT * count / highest
        tops[column] -= height
        css_class, _, label = kind.partition(" ")
        hint = f"{names[column]}: {format_number(lang, count)} {label}".strip()
        x, y, inner = round(column * width, 1), round(tops[column], 1), round(width - _GAP, 1)
        bars.append(_Bar(x, y, inner, round(height, 1), css_class, hint))
    return bars
