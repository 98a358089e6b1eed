"""Runs the demo: classifies the sample export, on the local stack with a worker killed midway. Prints nothing."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import NotRetryable
from triagem.contracts.text import clean
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.queries import Filters, count_tickets, least_confident, text_previews
from triagem.inbox import Inbox, connect
from triagem.inbox.lease import list_workers
from triagem.inbox.scaling import last_rate
from triagem.producer.load import load_records
from triagem.producer.publisher import Publisher
from triagem.producer.survey import survey_file
from triagem.records.text_file import open_text
from triagem.servers import STACK_FOLDER
from triagem.stack import Endpoints

_EXPORT: Final = "crm_export.csv"
_KILL_AT: Final = 0.4
_DEADLINE_S: Final = 180.0
# Another worker notices a dead one when its lease expires: the demo shortens the lease from 15 s to 3 s.
_WORKER_SETTINGS: Final = {"TRIAGEM_LEASE_S": "3", "TRIAGEM_CLAIM_EVERY_S": "0.5"}


OnProgress = Callable[[int, str], None]


class DemoFailed(NotRetryable):
    """The demo did not finish: the message names the phase and the log to read."""


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """Counts and times of a demo run. `killed_at` is None if no worker was killed."""

    source: str
    enqueued: int
    rows: int
    killed_at: int | None
    counts: dict[str, dict[str, int]]
    alerts: int
    least_confident: list[dict[str, Any]]
    busy_rate_per_s: float | None
    recovery_s: float | None

    @property
    def lost(self) -> int:
        """Number of enqueued tickets without a result."""
        return self.enqueued - self.rows


def examples_folder() -> Path:
    """The folder of the sample data, in the clone or in the installed package."""
    for folder in (Path(__file__).parents[2] / "examples", Path(__file__).parent / "examples"):
        if (folder / _EXPORT).is_file():
            return folder
    raise DemoFailed("the sample data is missing: run the demo from a clone of the repository")


def classify_export(endpoints: Endpoints, database: Database, on_progress: OnProgress) -> DemoOutcome:
    """Enqueue the export, classify it with a worker, kill this worker midway, and let a second worker finish.

    Args:
        on_progress: called with the number of stored results and the current phase.
    """
    source = _new_source()
    stored = partial(_stored, database, source)
    inbox = Inbox(connect(endpoints.redis_url))
    log = STACK_FOLDER / "demo-worker.log"
    with WorkerProcess(endpoints, log, **_WORKER_SETTINGS) as first:
        _wait("worker 1 loads the model", lambda: len(list_workers(inbox.redis)), 1, on_progress, first)
        enqueued = _enqueue(inbox, source)
        _wait("worker 1 classifies", stored, enqueued * _KILL_AT, on_progress, first)
        first.kill()
    killed_at = stored()
    on_progress(killed_at, "worker 1 was killed (SIGKILL), worker 2 starts")
    started = time.monotonic()
    with WorkerProcess(endpoints, log, **_WORKER_SETTINGS) as second:
        _wait("worker 2 reclaims and continues", stored, enqueued, on_progress, second)
        recovery_s = time.monotonic() - started
        rate = last_rate(inbox)
    return _outcome(database, source=source, enqueued=enqueued, killed_at=killed_at, rate=rate, recovery_s=recovery_s)


def classify_attached(inbox: Inbox, database: Database, on_progress: OnProgress) -> DemoOutcome:
    """Enqueue the export and wait until the workers already running on these servers have classified it."""
    source = _new_source()
    _wait("wait for a worker", lambda: len(list_workers(inbox.redis)), 1, on_progress)
    enqueued = _enqueue(inbox, source)
    _wait("the workers classify", partial(_stored, database, source), enqueued, on_progress)
    rate = last_rate(inbox)
    return _outcome(database, source=source, enqueued=enqueued, killed_at=None, rate=rate, recovery_s=None)


def _new_source() -> str:
    return f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"  # a new source per run, so that each run classifies new tickets


def _enqueue(inbox: Inbox, source: str) -> int:
    with closing(open_text(str(examples_folder() / _EXPORT))) as export:
        mapping = "external_id=id,text=subject+body,revised_at=created_at"
        file = survey_file(export, name=_EXPORT, source=source, mapping=mapping)
        rules = file.survey.rules
        return load_records(file.read().records, rules, Publisher(inbox), lane=Lane.LIVE, strict=True).accepted


def _stored(database: Database, source: str) -> int:
    return sum(count_tickets(database, Filters(source=source)).values())


def _wait(
    phase: str,
    count: Callable[[], int],
    target: float,
    on_progress: OnProgress,
    worker: WorkerProcess | None = None,
) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    log = f"log: {worker.log}" if worker else "see the workers' logs"
    while (counted := count()) < target:
        if worker and worker.exit_status is not None:
            raise DemoFailed(f"the worker exited: {worker.exit_reason()} ({log})")
        if time.monotonic() > deadline:
            raise DemoFailed(f"'{phase}' took over {_DEADLINE_S:.0f} s ({log})")
        on_progress(counted, phase)
        time.sleep(0.005 if worker else 0.1)  # short, so that the first worker is killed at the right moment


def _outcome(
    database: Database,
    *,
    source: str,
    enqueued: int,
    killed_at: int | None,
    rate: float | None,
    recovery_s: float | None,
) -> DemoOutcome:
    by_label: dict[str, dict[str, int]] = {}
    for (label, band), number in count_tickets(database, Filters(source=source)).items():
        by_label.setdefault(label, {})[band] = number
    uncertain = least_confident(database, Filters(source=source), limit=8)
    texts = text_previews(database, [row.ticket_id for row in uncertain], chars=1000)
    columns = ("external_id", "label", "confidence", "band")
    lowest = [
        {name: getattr(row, name) for name in columns} | {"text": clean(texts[row.ticket_id])} for row in uncertain
    ]
    return DemoOutcome(
        source=source,
        enqueued=enqueued,
        rows=_stored(database, source),
        killed_at=killed_at,
        counts=by_label,
        alerts=sum(bands.get("review", 0) + bands.get("abstain", 0) for bands in by_label.values()),
        least_confident=lowest,
        busy_rate_per_s=rate,
        recovery_s=recovery_s,
    )
