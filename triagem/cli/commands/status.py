"""`triagem status` shows the running system on one screen: problems, and how to fix them."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from triagem import servers
from triagem.cli.checks import (
    CheckResult,
    CheckWarned,
    background_tasks,
    current_model,
    gateway,
    invalid_files,
    print_results,
    read_redis,
    run_check,
)
from triagem.cli.commands.backlog import describe
from triagem.cli.options import AsJson
from triagem.cli.output import console, print_lines
from triagem.cli.stores import CheckFailed, answering
from triagem.contracts.errors import TriagemError

_WATCH_S: Final = 2.0
_REVIEWABLE: Final = timedelta(days=30)  # as on the console's page Review
_UNLABELLED: Final = """
SELECT count(*) FROM (SELECT FROM tickets WHERE state = 'unlabelled' AND source <> 'predict' LIMIT 100000) AS stored
"""


def run_status() -> Iterator[CheckResult]:
    """The rows of `triagem status`. While a store does not answer, one row replaces all rows that need it."""
    redis_answers = False
    try:
        state, last_s, problems = read_redis()
    except TriagemError as error:
        yield CheckResult("Redis", problem=str(error))
    else:
        redis_answers = True
        yield run_check("queue, workers", lambda: _queue(state))
        yield run_check("background tasks", lambda: background_tasks(last_s))
        yield from invalid_files(problems)
    yield from gateway()
    postgres_answers = True
    try:
        stored = list(_stored("none open" if redis_answers else "none open, except this outage of Redis"))
    except TriagemError as error:
        postgres_answers, stored = False, [CheckResult("Postgres", problem=str(error))]
    answers = {"redis_answers": redis_answers, "postgres_answers": postgres_answers}
    yield run_check("model", lambda: current_model(**answers)[1].version)
    yield from stored


def _queue(state: dict[str, Any]) -> str:
    *lines, diagnosis = describe(state)
    if not state["states"]:
        reason = f"{servers.no_worker()}; no ticket is lost"
        raise CheckFailed("\n".join((reason, *lines)))
    if not diagnosis.startswith(("idle", "draining")):
        raise CheckWarned("\n".join((diagnosis, *lines)))
    return "\n".join((diagnosis, *lines))


def _stored(no_alert: str) -> Iterator[CheckResult]:
    url = servers.database_url()
    from triagem.db import Database, DatabaseSettings
    from triagem.db.model_versions import had_model
    from triagem.db.outbox.monitoring import live_stats, monitor_states, table_stats
    from triagem.db.reviews import MAX_COUNTED, QueueFilters, queue_length
    from triagem.db.training_jobs import waiting_job
    from triagem.notify.alert_messages import duration, phrase
    from triagem.notify.monitor import WINDOW, MonitorSettings

    settings = MonitorSettings()
    since = datetime.now(UTC) - WINDOW
    limits = DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)
    with answering(url, "TRIAGEM_DATABASE_URL"), Database(url, limits) as database:
        live = live_stats(
            database, since=since, last_tickets=1, not_before=since, worker_since=since,
            unsure_below=settings.unsure_under,
        )  # fmt: skip
        stats, states = table_stats(database), monitor_states(database)
        unlabelled, job = database.scalar_one(_UNLABELLED), waiting_job(database)
        without_model = unlabelled and not had_model(database)
        _, waiting = queue_length(database, "", QueueFilters(), since=datetime.now(UTC) - _REVIEWABLE, zone="UTC")
    speed = "" if live.p95_s is None else f", 95% of them within {live.p95_s:.3g} s"
    count = f"live tickets in {duration(WINDOW.total_seconds())}: {live.tickets:,}"
    stored = f"; stored without a result: {unlabelled:,}" if unlabelled else ""
    yield CheckResult("results", f"{count}{speed}, with low confidence: {live.unsure:,}{stored}")
    alerts = [
        f"{phrase('en', kind)} since {state.open_since:%Y-%m-%d %H:%M} UTC"
        for kind, state in sorted(states.items())
        if state.open_since
    ]
    yield CheckResult("alerts", no_alert, warning="\n".join(alerts) or None)
    dead = sum(stats.dead_letters.values())
    failed = sum(number for (_, state), number in stats.deliveries.items() if state == "failed")
    counts = {
        f"messages not processed: {dead:,} (`triagem dead list`)": dead,
        f"deliveries failed: {failed:,} (`triagem deliveries list --state failed`)": failed,
        "there is no model yet: label messages on the page Start (`triagem start`)": without_model,
        f"no trainer has taken job {job} for a minute: is `triagem trainer` running? (`triagem jobs list`)": job,
    }
    urgent = [line for line, count in counts.items() if count]
    page = f"{address}/console/review" if (address := servers.running_address()) else "on the console's page Review"
    review = f"messages to review: {waiting:,}{'+' * (waiting == MAX_COUNTED)} ({page})" if waiting else ""
    yield CheckResult("to do", review or "nothing", warning="\n".join([*urgent, review]).strip() if urgent else None)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show queue, workers, model, recent results, open alerts and failures on one screen. Exit status 1 on a problem.

    Example: `triagem status --watch`
    """
    while True:
        results: Iterable[CheckResult] = run_status()
        if watch and not as_json:
            results = list(results)  # so that the screen is not empty while the checks run
            console.clear()
            print_lines(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        failed = print_results(results, as_json=as_json)
        if not watch:
            raise typer.Exit(failed)
        time.sleep(_WATCH_S)
