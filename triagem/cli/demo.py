"""The demo: everything once; on the local stack with a worker that is killed midway. Computes; others print."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from triagem.cli.processes import WorkerProcess
from triagem.cli.servers import STACK_FOLDER
from triagem.contracts.errors import Final as FinalError
from triagem.contracts.text import clean
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox, connect
from triagem.producer.load import load
from triagem.producer.mapping import field_map
from triagem.producer.publisher import Publisher
from triagem.producer.rows import open_text, rows

if TYPE_CHECKING:
    from triagem.cli.stack import Endpoints
    from triagem.db import Database

_EXPORT: Final = "crm_export.csv"
_KILL_AT: Final = 0.4
_DEADLINE_S: Final = 180.0
# A dead worker is noticed after its lease: short here, so that nobody waits; 15 s where networks are slower.
_WORKER: Final = {"TRIAGEM_LEASE_S": "3", "TRIAGEM_CLAIM_EVERY_S": "0.5"}


class DemoFailed(FinalError):
    """The demo did not reach its end: the message says where and which log tells more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo did, for a person or a program. Without `killed_at` nobody was killed."""

    source: str
    enqueued: int
    rows: int
    killed_at: int | None
    counts: dict[str, dict[str, int]]
    alerts: int
    least_sure: list[dict[str, Any]]
    busy_rate_per_s: float | None
    recovery_s: float | None

    @property
    def lost(self) -> int:
        """Enqueued tickets without a result."""
        return self.enqueued - self.rows


def examples() -> Path:
    """The folder of the sample data: of the clone, or of the installed package."""
    for folder in (Path(__file__).parents[2] / "examples", Path(__file__).parent / "examples"):
        if (folder / _EXPORT).is_file():
            return folder
    raise DemoFailed("the sample data is missing: run the demo from a clone of the project")


def classify_export(endpoints: Endpoints, database: Database, on_rows: Callable[[int, str], None]) -> Outcome:
    """Enqueue the export, classify it with a worker, kill that one midway, and let another finish.

    Args:
        on_rows: called with the number of stored results and what is going on.
    """
    source = _source()
    inbox = Inbox(connect(endpoints.redis_url))
    log = STACK_FOLDER / "demo-worker.log"
    with WorkerProcess(endpoints, log, **_WORKER) as first:
        _until(lambda: _alive(inbox), first, on_rows, "worker 1 loads the model")
        enqueued = _enqueue(inbox, source)
        _until(
            lambda: _stored(database, source) >= enqueued * _KILL_AT,
            first,
            lambda _, what: on_rows(_stored(database, source), what),
            "worker 1 classifies",
        )
        first.kill()
    killed_at = _stored(database, source)
    on_rows(killed_at, "worker 1 was killed (SIGKILL), worker 2 starts")
    began = time.monotonic()
    with WorkerProcess(endpoints, log, **_WORKER) as second:
        _until(
            lambda: _stored(database, source) >= enqueued,
            second,
            lambda _, what: on_rows(_stored(database, source), what),
            "worker 2 takes over and goes on",
        )
        recovery_s = time.monotonic() - began
        rate = _busy_rate(endpoints.broker_url)
    return _outcome(database, source=source, enqueued=enqueued, killed_at=killed_at, rate=rate, recovery_s=recovery_s)


def classify_attached(
    inbox: Inbox, database: Database, broker_url: str, on_rows: Callable[[int, str], None]
) -> Outcome:
    """Enqueue the export and wait until workers that already run, on these servers, have classified it."""
    source = _source()
    _until(lambda: _alive(inbox), None, on_rows, "wait for a worker")
    enqueued = _enqueue(inbox, source)
    _until(
        lambda: _stored(database, source) >= enqueued,
        None,
        lambda _, what: on_rows(_stored(database, source), what),
        "the workers classify",
    )
    rate = _busy_rate(broker_url)
    return _outcome(database, source=source, enqueued=enqueued, killed_at=None, rate=rate, recovery_s=None)


def _source() -> str:
    return f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"  # new tickets at each run, so that each run classifies


def _enqueue(inbox: Inbox, source: str) -> int:
    with open_text(str(examples() / _EXPORT)) as lines:
        columns, records = rows(lines, format="csv", name=_EXPORT)
        mapping = field_map(columns, "external_id=id,text=subject+body,revised_at=created_at")
        summary = load(records, mapping, Publisher(inbox), lane=Lane.LIVE, source=source, strict=True)
    return summary.accepted


def _stored(database: Database, source: str) -> int:
    from triagem.db.queries import Filters, counts

    return sum(counts(database, Filters(source=source)).values())


def _alive(inbox: Inbox) -> bool:
    from triagem.inbox.lease import alive

    return alive(inbox.redis) > 0


def _until(
    done: Callable[[], bool], worker: WorkerProcess | None, on_rows: Callable[[int, str], None], what: str
) -> None:
    end = time.monotonic() + _DEADLINE_S
    log = f"log: {worker.log}" if worker else "the workers' logs say why"
    while not done():
        if worker and worker.exit_status is not None:
            raise DemoFailed(f"the worker ended: {worker.why_ended()} ({log})")
        if time.monotonic() > end:
            raise DemoFailed(f"'{what}' took over {_DEADLINE_S:.0f} s ({log})")
        on_rows(0, what)
        time.sleep(0.005 if worker else 0.1)  # the first is to be killed at the right moment


def _busy_rate(broker_url: str) -> float | None:
    from triagem.worker.app import make_app

    return rate_among(make_app(broker_url).control.broadcast("pipe_stats", reply=True, timeout=1) or [])


def rate_among(answers: Iterable[Mapping[str, Mapping[str, Any]]]) -> float | None:
    """The first rate that a worker tells. Ops workers answer too, and have none."""
    told = (stats.get("busy_rate_per_s") for answer in answers for stats in answer.values())
    return next((float(rate) for rate in told if rate), None)


def _outcome(
    database: Database,
    *,
    source: str,
    enqueued: int,
    killed_at: int | None,
    rate: float | None,
    recovery_s: float | None,
) -> Outcome:
    from triagem.db.queries import Filters, counts, least_sure

    by_label: dict[str, dict[str, int]] = {}
    for (label, band), number in counts(database, Filters(source=source)).items():
        by_label.setdefault(label, {})[band] = number
    texts = _texts()
    unsure = [
        {
            "external_id": row.external_id,
            "label": row.label,
            "confidence": row.confidence,
            "band": row.band,
            "text": texts[row.external_id],
        }
        for row in least_sure(database, Filters(source=source), limit=8)
    ]
    return Outcome(
        source=source,
        enqueued=enqueued,
        rows=_stored(database, source),
        killed_at=killed_at,
        counts=by_label,
        alerts=sum(bands.get("review", 0) + bands.get("abstain", 0) for bands in by_label.values()),
        least_sure=unsure,
        busy_rate_per_s=rate,
        recovery_s=recovery_s,
    )


def _texts() -> dict[str, str]:
    with (examples() / _EXPORT).open(encoding="utf-8", newline="") as file:
        return {row["id"]: clean(f"{row['subject']}\n{row['body']}") for row in csv.DictReader(file)}
