"""`triagem doctor` checks an installation: problems, and how to fix them."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import typer
from redis.exceptions import NoPermissionError

from triagem import servers
from triagem.cli.checks import (
    CheckResult,
    CheckWarned,
    background_tasks,
    current_model,
    gateway,
    guidelines_problem,
    invalid_files,
    print_results,
    read_redis,
    run_check,
)
from triagem.cli.known_settings import describe_unknown, invalid_values, unknown_variables, variables_set
from triagem.cli.options import AsJson
from triagem.cli.output import EXTRAS, installed_version
from triagem.cli.stores import CheckFailed, answering
from triagem.contracts.errors import TriagemError
from triagem.inbox.client import redis_errors

# Resources to classify with BERT-base, from the original specification (docs/explanation/specification.md).
_MINIMUM: Final = {"cores": 4, "GB of memory": 8, "GB of disk": 2}
_GPU_MEMORY: Final = "GB of GPU memory"
# Device files of GPUs that torch can use: NVIDIA's on Linux and in WSL, AMD's.
_GPU_DEVICES: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
_RECOMMENDED: Final = {"cores": 8, "GB of memory": 16, "GB of disk": 5, _GPU_MEMORY: 8}


def run_checks() -> Iterator[CheckResult]:
    """Run all checks, cheap ones first.

    While Redis does not answer, checks that need it are skipped. The model is loaded only if all other checks passed:
    this takes seconds, and nobody waits for it during an outage. Nor do Postgres and gateway wait until Redis has
    answered.
    """
    threads = ThreadPoolExecutor(2)
    postgres_check = threads.submit(run_check, "Postgres", _postgres)
    gateway_rows = threads.submit(lambda: list(gateway()))
    yield run_check("Python and packages", _packages)
    yield run_check("settings", _settings)
    yield run_check("machine", _machine)
    yield (redis := run_check("Redis", _redis))
    if not redis.problem:
        yield from _inbox_rows()
    yield from guidelines_problem()
    yield (postgres := postgres_check.result())
    yield from (gateways := gateway_rows.result())
    yield run_check("GPU", _gpu)
    answers = {"redis_answers": not redis.problem, "postgres_answers": not postgres.problem}
    yield (model := run_check("model", lambda: _model(**answers)))
    problems = [row.problem for row in (redis, postgres, *gateways, model)]
    if importlib.util.find_spec("torch") and not any((*problems, model.warning)):
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
    with suppress(ModuleNotFoundError):  # a machine that only submits tickets reads neither file
        from triagem.notify.alert_rules import AlertsFile
        from triagem.producer.crm import CrmFile

        AlertsFile.from_environment()
        CrmFile.from_environment()
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
    with answering(servers.redis_url(), "TRIAGEM_REDIS_URL"), redis_errors():
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


def _inbox_rows() -> Iterator[CheckResult]:
    try:
        state, last_s, problems = read_redis()
    except TriagemError as error:
        yield CheckResult("inbox", problem=str(error))
        return
    yield run_check("inbox", lambda: _inbox(state))
    yield run_check("background tasks", lambda: background_tasks(last_s))
    yield from invalid_files(problems)


def _inbox(state: dict[str, Any]) -> str:
    waiting = sum(depth.waiting + depth.in_flight for depth in state["lanes"].values())
    workers = len(state["states"])
    if waiting and not workers:
        raise CheckFailed(f"waiting tickets: {waiting:,}; {state['diagnosis']}")
    if not workers:
        raise CheckWarned(f"{servers.no_worker()}; no ticket waits")
    if not state["diagnosis"].startswith(("idle", "draining")):
        raise CheckWarned(f"waiting: {waiting:,}; {state['diagnosis']}")
    return f"waiting: {waiting:,}, workers running: {workers}"


def _postgres() -> str:
    url = servers.database_url()
    from triagem.db.revision import require_current

    with answering(url, "TRIAGEM_DATABASE_URL"), servers.database() as database:
        require_current(database)
        version = database.scalar_one("SHOW server_version")
        dead = database.scalar_one("SELECT count(*) FROM dead_letters")
    return f"version {version}, schema up to date, {dead} dead letters"


def _model(*, redis_answers: bool, postgres_answers: bool) -> str:
    registry, current = current_model(redis_answers=redis_answers, postgres_answers=postgres_answers)
    manifest = registry.verify(current.version)
    return f"{current.version} (epoch {current.epoch}), labels {', '.join(manifest.labels)}, files unchanged"


def _load_model() -> str:
    registry, current = current_model(redis_answers=True, postgres_answers=True)
    from triagem.engine.classify import load

    load(registry.folder(current.version))
    return f"{current.version} loads successfully"


def doctor(*, as_json: AsJson = False) -> None:
    """Check packages, settings, machine, Redis, inbox, Postgres, gateway, GPU and model. Exit status 1 on a problem.

    Example: `triagem doctor`
    """
    raise typer.Exit(print_results(run_checks(), as_json=as_json))
