"""What a page task does: bring the active run a step further, and end. It never waits (INV-23).

First a page is put on the lane, then the cursor is saved: who is killed in between repeats one page, which the
statement absorbs (db/rewrite.py).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from triagem.contracts.errors import InboxFull, InvalidInput, NoModel
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode_check
from triagem.db import Database, runs
from triagem.db.run_pages import PAGE, advance, apply_page, page
from triagem.db.runs import APPLY, Plan, Run
from triagem.inbox import Inbox
from triagem.inbox.lease import crew
from triagem.producer.reclassify.settings import ReclassifySettings, next_time
from triagem.registry import Registry

log = structlog.get_logger(__name__)

WINDOW_OVER: Final = "until"
FORMER: Final = "waits until workers of a former release have ended: they would set its claim checks aside"
_AHEAD_S: Final = 30.0  # of work on the lane: little enough for a pause, enough until the next sweep
_BUDGET_S: Final = 2.0  # the other tasks of this ops worker wait meanwhile


def sweep(
    database: Database,
    inbox: Inbox,
    registry: Registry,
    now: datetime,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """One turn. Raises DatabaseAway, InboxAway, or what the registry raises: the next turn goes on."""
    with runs.alone(database) as alone:
        run = runs.active(database) if alone else None
        if run is None or run.state != "running":
            return
        if why := _stop(run, registry):
            runs.cancel(database, run.id, why)
            log.warning("run cancelled", run=run.id, why=why)
            return
        if run.pause_at and now >= run.pause_at:
            runs.pause(database, run.id, WINDOW_OVER)
            log.info("run paused until the next night", run=run.id)
            return
        runs.measure(database, run.id)
        waits = FORMER if run.kind != APPLY and not all(one.reads_checks for one in crew(inbox.redis)) else ""
        runs.note(database, run.id, waits)
        began = clock()
        with suppress(InboxFull):
            while not waits and clock() - began < _BUDGET_S and _step(database, inbox, run):
                found = runs.active(database)
                if found is None or found.id != run.id or found.state != "running":
                    return
                run = found
        runs.end(database, run.id)


def nightly(database: Database, registry: Registry, settings: ReclassifySettings, now: datetime) -> Run | None:
    """Begin the night's run, over what the current version has said nothing of; or go on with the one that last
    night's end has paused. None where another run is active."""
    pause_at = next_time(settings.reclassify_until, settings.timezone, now)
    if run := runs.active(database):
        if run.state == "paused" and run.why == WINDOW_OVER:
            runs.resume(database, run.id, pause_at=next_time(run.until, settings.timezone, now))
            return runs.find(database, run.id)
        log.info("no nightly run: one is active", run=run.id, state=run.state)
        return None
    current = registry.current()
    with suppress(InvalidInput):  # somebody was quicker
        plan = Plan(
            current.version,
            current.epoch,
            filters={"unseen": True},
            until=settings.reclassify_until,
            pause_at=pause_at,
        )
        return runs.start(database, plan)
    return None


def _stop(run: Run, registry: Registry) -> str:
    """Why a run makes no sense any more: it writes results of a version that is not current."""
    if run.kind == APPLY or run.shadow:
        return ""
    try:
        current = registry.current()
    except NoModel:
        return "no version is current"
    same = (current.version, current.epoch) == (run.version, run.epoch)
    return "" if same else f"{current.version} was promoted (epoch {current.epoch})"


def _step(database: Database, inbox: Inbox, run: Run) -> bool:
    """One page; False when there is none to do now. Raises InboxFull."""
    if run.cursor >= run.last_id:
        return False
    if run.kind == APPLY:
        return apply_page(database, run)
    # At most half of the lane: other bulk producers need room too.
    ahead = min(max(2.0 * PAGE, run.rate * _AHEAD_S), inbox.settings.bulk_mark / 2)
    if run.put - run.settled >= ahead:
        return False
    found = page(database, run)
    inbox.put(Lane.BULK, [encode_check(check) for check in found.checks])
    return advance(database, run, found)
