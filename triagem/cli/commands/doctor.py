"""`triagem doctor` checks an installation, `triagem status` the running system: problems, and how to fix them."""

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from redis.exceptions import NoPermissionError

from triagem import servers
from triagem.cli.checks import (
    CheckFailed,
    CheckResult,
    CheckWarned,
    answering,
    current_model,
    gateway_answers,
    guidelines_problem,
    print_results,
    run_check,
)
from triagem.cli.commands.backlog import describe, read_state
from triagem.cli.known_settings import describe_unknown, invalid_values, unknown_variables, variables_set
from triagem.cli.options import AsJson
from triagem.cli.output import EXTRAS, console, installed_version, print_lines
from triagem.contracts.errors import TriagemError
from triagem.inbox.client import redis_errors
from triagem.ops.heartbeat import seconds_since_completed
from triagem.ops.invalid_files import file_problems

_WATCH_S: Final = 2.0
_TASK_S: Final = 120.0  # by default, several tasks run every 5 seconds
_UNLABELLED: Final = """
SELECT count(*) FROM (SELECT FROM tickets WHERE state = 'unlabelled' AND source <> 'predict' LIMIT 100000) AS stored
"""
# Resources to classify with BERT-base, from the original specification (docs/explanation/specification.md).
_MINIMUM: Final = {"cores": 4, "GB of memory": 8, "GB of disk": 2}
_GPU_MEMORY: Final = "GB of GPU memory"
# Device files of GPUs that torch can use: NVIDIA's on Linux and in WSL, AMD's.
_GPU_DEVICES: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
_RECOMMENDED: Final = {"cores": 8, "GB of memory": 16, "GB of disk": 5, _GPU_MEMORY: 8}


def run_checks() -> Iterator[CheckResult]:
    """Run all checks, cheap ones first.

    While Redis does not answer, checks that need it are skipped. The model is loaded only if all other checks passed:
    this takes seconds, and nobody waits for it during an outage.
    """
    yield run_check("Python and packages", _packages)
    yield run_check("settings", _settings)
    yield run_check("machine", _machine)
    yield (redis := run_check("Redis", _redis))
    if not redis.problem:
        yield run_check("inbox", _inbox)
        yield from _invalid_files(_read_redis()[2])
    yield from guidelines_problem()
    yield (postgres := run_check("Postgres", _postgres))
    yield run_check("GPU", _gpu)
    yield (model := run_check("model", lambda: _model(redis_answers=not redis.problem)))
    if importlib.util.find_spec("torch") and not any((redis.problem, postgres.problem, model.problem, model.warning)):
        yield run_check("loading the model", _load_model)


def _packages() -> str:
    missing = dict.fromkeys(extra for name, extra in EXTRAS.items() if importlib.util.find_spec(name) is None)
    versions = f"Python {platform.python_version()}, triagem {installed_version('triagem')}"
    return versions + (f"; extras not installed: {', '.join(missing)}" if missing else "; all extras installed")


def _settings() -> str:
    names = variables_set()
    if unknown := unknown_variables(names):
        raise CheckFailed("; ".join(describe_unknown(*pair) for pair in unknown.items()))
    if invalid := invalid_values(names):
        raise CheckFailed("; ".join(invalid))
    return f"variables set: {sum(name.upper().startswith('TRIAGEM_') for name in names)}, all valid"


def _machine() -> str:
    return describe_resources(
        {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            "GB of memory": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
            "GB of disk": round(shutil.disk_usage(Path.cwd()).free / 1e9),
        }
    )


def _gpu() -> str:
    if not importlib.util.find_spec("torch"):
        return "not checked: this machine classifies nothing, torch is not installed"
    if sys.platform == "linux" and not any(Path(device).exists() for device in _GPU_DEVICES):
        return "none, the CPU is used"  # without importing torch, which takes seconds
    from triagem.engine.classify import gpu_memory

    memory = gpu_memory()
    return describe_resources({_GPU_MEMORY: round(memory / 1e9)}) if memory else "none, the CPU is used"


def describe_resources(available: dict[str, int]) -> str:
    """The machine's resources.

    Raises:
        CheckWarned: some are below the minimum or the recommendation for BERT-base. A smaller model runs well.
    """
    description = ", ".join(f"{amount} {resource}" for resource, amount in available.items())
    for level, required in (("minimum", _MINIMUM), ("recommendation", _RECOMMENDED)):
        below = [f"{required[name]} {name}" for name, amount in available.items() if amount < required.get(name, 0)]
        if below:
            raise CheckWarned(f"{description}; below the {level} for BERT-base: {', '.join(below)}")
    return description


def _redis() -> str:
    with answering(servers.redis_url(), 6379, "TRIAGEM_REDIS_URL"), redis_errors():
        inbox = servers.inbox()
        facts = inbox.redis.info()
        try:
            fsync = cast("dict[str, str]", inbox.redis.config_get("appendfsync")).get("appendfsync")
        except NoPermissionError:  # the ACL forbids CONFIG GET: it returns the password
            fsync = None
    if (policy := facts.get("maxmemory_policy")) != "noeviction":
        raise CheckFailed(f"maxmemory-policy is {policy}: set it to noeviction, or a full Redis evicts tickets")
    if not facts.get("aof_enabled"):
        raise CheckFailed("appendonly is off: turn it on, or a Redis restart loses the waiting tickets")
    if fsync not in {"always", None}:
        raise CheckFailed(f"appendfsync is {fsync}: set it to always, or a power cut loses up to a second of tickets")
    version = f"version {facts.get('valkey_version') or facts.get('redis_version')}, noeviction"
    return f"{version}, appendfsync {fsync or 'not checked (this Redis user may not read the configuration)'}"


def _inbox() -> str:
    state = read_state(servers.inbox())
    waiting = sum(depth.waiting + depth.in_flight for depth in state["lanes"].values())
    workers = len(state["states"])
    if waiting and (state["paused"] or not workers):
        raise CheckFailed(f"waiting tickets: {waiting:,}; {state['diagnosis']}")
    if not workers:
        raise CheckWarned(f"{servers.no_worker()}; no ticket waits")
    if not state["diagnosis"].startswith(("idle", "draining")):
        raise CheckWarned(f"waiting: {waiting:,}; {state['diagnosis']}")
    return f"waiting: {waiting:,}, workers running: {workers}"


def _invalid_files(problems: dict[str, str]) -> Iterator[CheckResult]:
    for setting, problem in problems.items():
        yield CheckResult(setting, warning=f"invalid, its previous content stays in use: {problem}")


def _postgres() -> str:
    url = servers.database_url()
    from triagem.db.revision import require_current

    with answering(url, 5432, "TRIAGEM_DATABASE_URL"), servers.database() as database:
        require_current(database)
        version = database.scalar_one("SHOW server_version")
        dead = database.scalar_one("SELECT count(*) FROM dead_letters")
    return f"version {version}, schema up to date, {dead} dead letters"


def _model(*, redis_answers: bool) -> str:
    registry, current = current_model(redis_answers=redis_answers)
    manifest = registry.verify(current.version)
    return f"{current.version} (epoch {current.epoch}), labels {', '.join(manifest.labels)}, files unchanged"


def _load_model() -> str:
    registry, current = current_model(redis_answers=True)
    from triagem.engine.classify import load

    load(registry.folder(current.version))
    return f"{current.version} loads successfully"


def doctor(*, as_json: AsJson = False) -> None:
    """Check packages, settings, machine, Redis, inbox, Postgres, GPU and model. Exit status 1 if there is a problem.

    Example: `triagem doctor`
    """
    raise typer.Exit(print_results(run_checks(), as_json=as_json))


def run_status() -> Iterator[CheckResult]:
    """The rows of `triagem status`. While a store does not answer, one row replaces all rows that need it."""
    redis_answers = False
    try:
        state, task_s, problems = _read_redis()
    except TriagemError as error:
        yield CheckResult("Redis", problem=str(error))
    else:
        redis_answers = True
        yield run_check("queue, workers", lambda: _queue(state))
        yield run_check("background tasks", lambda: _background_tasks(task_s))
        yield from _invalid_files(problems)
    if address := servers.local_gateway():
        yield run_check("gateway", lambda: gateway_answers(address))
    yield run_check("model", lambda: current_model(redis_answers=redis_answers)[1].version)
    try:
        yield from _stored("none open" if redis_answers else "none open, except this outage of Redis")
    except TriagemError as error:
        yield CheckResult("Postgres", problem=str(error))


def _read_redis() -> tuple[dict[str, Any], float | None, dict[str, str]]:
    with answering(servers.redis_url(), 6379, "TRIAGEM_REDIS_URL"), redis_errors():
        inbox = servers.inbox()
        return read_state(inbox), seconds_since_completed(inbox.redis), file_problems(inbox.redis)


def _background_tasks(last_s: float | None) -> str:
    from triagem.notify.alert_messages import duration

    last = (
        "none was completed in the last day"
        if last_s is None
        else f"the last one was completed {duration(last_s)} ago"
    )
    if last_s is None or last_s > _TASK_S:
        raise CheckWarned(
            f"{last}: results and alerts are not sent; is `triagem ops` running, and `triagem beat`? See their logs"
        )
    return last


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
    from triagem.db.outbox.monitoring import live_stats, monitor_states, table_stats
    from triagem.db.training_jobs import waiting_job
    from triagem.notify.alert_messages import duration, phrase
    from triagem.notify.monitor import WINDOW, MonitorSettings

    settings = MonitorSettings()
    since = datetime.now(UTC) - WINDOW
    limits = DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)
    with answering(url, 5432, "TRIAGEM_DATABASE_URL"), Database(url, limits) as database:
        live = live_stats(
            database, since=since, last_tickets=1, not_before=since, worker_since=since,
            unsure_below=settings.unsure_under,
        )  # fmt: skip
        stats, states = table_stats(database), monitor_states(database)
        unlabelled, job = database.scalar_one(_UNLABELLED), waiting_job(database)
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
        f"no trainer has taken job {job} for a minute: is `triagem trainer` running? (`triagem jobs list`)": job,
    }
    yield CheckResult("to do", "nothing", warning="\n".join(line for line, count in counts.items() if count) or None)


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
