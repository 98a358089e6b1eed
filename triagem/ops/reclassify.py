"""Advances the active reclassification run by a few pages, then returns. It never waits (INV-23).

A page is recorded before its references are enqueued, and they are read from the records: if the process is
killed in between, or Redis loses entries, the only effect is a second delivery, which changes nothing
(db/runs/reclassification.py).
"""

import time
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog

from triagem.contracts.errors import InboxFull, InvalidInput, RegistryUnavailable
from triagem.contracts.moments import iso_time
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode_ref
from triagem.db import Database, runs
from triagem.db.runs import APPLY, ReclassifyRun, RunPlan
from triagem.db.runs.pages import PAGE, apply_page, next_page, record_page, recorded_refs, save_enqueued, sweep_lock
from triagem.db.tickets.window import has_unlabelled
from triagem.db.training_jobs import JobKind, newest_job
from triagem.inbox import Inbox
from triagem.ops.settings import OpsSettings, next_occurrence
from triagem.registry import Registry

log = structlog.get_logger(__name__)

PAUSED_BY_SCHEDULE: Final = "until"
_AHEAD_S: Final = 30.0  # seconds of work on the lane: few enough to pause soon, enough until the next task
_NIGHTLY: Final = {"unseen": True}  # a filter that a run started by hand cannot have
_BUDGET_S: Final = 2.0  # the other tasks of this ops worker wait during this time


def advance_run(database: Database, inbox: Inbox, registry: Registry, now: datetime) -> None:
    """Advance the active run, or pause, cancel or finish it.

    Raises DatabaseUnavailable, InboxUnavailable, or the registry's errors; the next call continues.
    """
    with sweep_lock(database) as locked:
        run = runs.find_active(database) if locked else None
        if run is None or run.state != "running":
            return
        if cancellation := _cancellation(run, registry):
            reason, successor = cancellation
            runs.cancel(database, run.id, reason, successor=successor)
            log.warning("run_cancelled", run=run.id, reason=reason)
            return
        if run.pause_at and now >= run.pause_at:
            runs.pause(database, run.id, PAUSED_BY_SCHEDULE)
            log.info("run_paused", run=run.id)
            return
        runs.update_rate(database, run.id)
        deadline = time.monotonic() + _BUDGET_S
        try:
            while time.monotonic() < deadline and _step(database, inbox, run):
                current = runs.find_active(database)
                if current is None or current.id != run.id or current.state != "running":
                    return
                run = current
        except InboxFull as error:
            runs.report_waiting(database, run.id, str(error))
        all_enqueued = run.kind == APPLY or run.enqueued == run.cursor
        waits = run.put > run.processed
        if all_enqueued and (run.cursor >= run.last_id or waits) and not (waits and inbox.depth(Lane.BULK).entries):
            if runs.enqueue_lost(database, run.id):
                log.warning("lost_checks_enqueued_again", run=run.id)
            else:
                runs.finish_if_done(database, run.id)


def start_nightly_run(
    database: Database, registry: Registry, settings: OpsSettings, now: datetime
) -> ReclassifyRun | None:
    """Start the nightly run, over tickets that the current version has not classified.

    If last night's run was paused by its schedule, resume that one instead. None if another run is active.
    """
    pause_at = next_occurrence(settings.reclassify_until, settings.timezone, now)
    if run := runs.find_active(database):
        if run.state == "paused" and run.reason == PAUSED_BY_SCHEDULE:
            runs.resume(database, run.id, pause_at=next_occurrence(run.pause_hour, settings.timezone, now))
            return runs.find(database, run.id)
        log.info("nightly_run_skipped", active_run=run.id, state=run.state)
        return None
    if (current := registry.find_current()) is None:
        return None
    plan = RunPlan(
        current.version, current.epoch, filters=_NIGHTLY, pause_hour=settings.reclassify_until, pause_at=pause_at
    )
    return _start(database, plan)


def start_due_run(database: Database, registry: Registry) -> ReclassifyRun | None:
    """Classify the tickets that came while there was no model; all tickets, after a head version was promoted.

    None if no run is due, or if one is active. A run that somebody has cancelled is not started again.
    """
    newest, head = runs.find(database), newest_job(database, JobKind.HEAD)
    unlabelled = has_unlabelled(database)
    if (newest and newest.active) or not (unlabelled or (head and head.version)):
        return None
    if (current := registry.find_current()) is None:
        return None
    had_run = newest is not None and newest.epoch == current.epoch
    if unlabelled and not (had_run and newest and newest.state == "cancelled"):
        filters = {"unlabelled": True}
    elif head and head.version == current.version and not had_run:
        filters = {"unseen": True}
    else:
        return None
    return _start(database, RunPlan(current.version, current.epoch, filters=filters))


def _cancellation(run: ReclassifyRun, registry: Registry) -> tuple[str, RunPlan | None] | None:
    """The reason to cancel a run whose version is no longer current, and a nightly run's successor; else None."""
    if run.kind == APPLY or run.shadow:
        return None
    try:
        current = registry.find_current()
    except RegistryUnavailable:  # the workers continue with the version they have, and so does the run
        return None
    if current is None:
        return "no version is current", None
    if (current.version, current.epoch) == (run.version, run.epoch):
        return None
    again = RunPlan(
        current.version, current.epoch, filters=_NIGHTLY, pause_hour=run.pause_hour, pause_at=run.pause_at
    )
    reason = f"{current.version} was promoted (epoch {current.epoch})"
    return reason, again if run.filters == _NIGHTLY else None


def _start(database: Database, plan: RunPlan) -> ReclassifyRun | None:
    with suppress(InvalidInput):  # another process started one first
        return runs.start(database, plan)
    return None


def _step(database: Database, inbox: Inbox, run: ReclassifyRun) -> bool:
    """Apply, record or enqueue one page. False when none is due now. Raises InboxFull."""
    if run.kind == APPLY:
        return run.cursor < run.last_id and apply_page(database, run)
    # At most half of the lane: other bulk producers need capacity too.
    ahead = int(min(max(2.0 * PAGE, run.rate * _AHEAD_S), inbox.settings.bulk_high_water / 2))
    if run.enqueued < run.cursor:
        refs, total = recorded_refs(database, run)
        on_lane = run.put - run.processed - total
        refs = refs[: max(0, ahead - on_lane)]
        if total and not refs:
            return False
        count = inbox.put_fitting(Lane.BULK, [encode_ref(ref) for ref in refs])
        return save_enqueued(database, run, run.cursor if count == total else refs[count - 1].ticket)
    if run.cursor >= run.last_id or run.put - run.processed >= ahead:
        return False
    return record_page(database, run, next_page(database, run))


_FIELDS: Final = ("label", "band", "source", "model", "since", "until", "cleaning")


def parse_run_filters(where: str, current: str) -> dict[str, str]:
    """The filters of a run. `current` is the version that `model=current` stands for; times default to UTC.

    `label`, `band` and `model` refer to the model's current result, not to a review. `cleaning=changed` selects texts
    that this release cleans differently from the release that stored them.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    filters: dict[str, str] = {}
    for part in filter(None, map(str.strip, where.split(","))):
        name, sign, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if name == "model!":
            name = "not_model"
        if not sign or not value or name not in {*_FIELDS, "not_model"}:
            raise InvalidInput(f"--where {part!r}: expected one of {', '.join(_FIELDS)}, as in source=zendesk")
        if name == "cleaning" and value != "changed":
            raise InvalidInput(f"--where {part!r}: expected cleaning=changed")
        if name in filters:
            raise InvalidInput(f"--where: {name.replace('not_model', 'model!')} is given twice")
        if name in {"model", "not_model"} and value == "current":
            value = current
        if name in {"since", "until"}:
            value = iso_time(value, f"--where {name}=").isoformat()
        filters[name] = value
    return filters
