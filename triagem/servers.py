"""Resolves the servers that a process uses: the environment, a `*_FILE` variable, else the running local stack.

The database and the local stack are imported late: a process that submits tickets needs only Redis.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from triagem.contracts.errors import MissingExtra, NotConfigured, TriagemError
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.process import secret

if TYPE_CHECKING:
    from triagem.db import Database
    from triagem.registry import Registry
    from triagem.stack import Endpoints, LocalStack

STACK_FOLDER: Final = Path(".triagem")
ADDRESS_FILE: Final = "gateway_url"  # in STACK_FOLDER, written by `triagem up`; empty if it runs no workers
NO_WORKER: Final = "no worker is running: start `triagem up` or `triagem worker`"
_SERVERS: Final = {"TRIAGEM_REDIS_URL": "Redis", "TRIAGEM_DATABASE_URL": "Postgres"}


def redis_url() -> str:
    """`TRIAGEM_REDIS_URL`, else the local stack's. Raises NotConfigured."""
    name = "TRIAGEM_REDIS_URL"
    return secret(name, InboxSettings().redis_url) or _require_local_stack(name).redis_url


def database_url() -> str:
    """`TRIAGEM_DATABASE_URL`, else the local stack's. Raises NotConfigured; MissingExtra without `triagem[db]`."""
    try:
        from triagem.db import DatabaseSettings  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("the Postgres driver is not installed: run pip install 'triagem[db]'") from None
    name = "TRIAGEM_DATABASE_URL"
    return secret(name, DatabaseSettings().database_url) or _require_local_stack(name).database_url


def inbox() -> Inbox:
    """The inbox of the configured Redis."""
    return Inbox(connect(redis_url()), InboxSettings())


def database() -> Database:
    """The configured database."""
    url = database_url()
    from triagem.db import Database  # noqa: PLC0415

    return Database(url)


def registry() -> Registry:
    """The configured model registry."""
    from triagem.registry import Registry, RegistrySettings  # noqa: PLC0415

    return Registry(RegistrySettings().registry_url)


def registry_url() -> str:
    """The URL of the model registry, for programs in any folder: of a local one, its absolute path."""
    from triagem.registry import RegistrySettings  # noqa: PLC0415

    url = RegistrySettings().registry_url
    return url if "://" in url else str(Path(url).resolve())


def current_labels() -> tuple[str, ...]:
    """Return the current model's labels, or an empty tuple if there is no model or the registry does not answer."""
    with suppress(TriagemError):
        return registry().current_labels()
    return ()


def local_stack() -> Endpoints | None:
    """The URLs of the local stack that runs in this folder, if any."""
    stack = _find_stack()
    return None if stack is None else stack.running()


def local_step(address: tuple[str, int]) -> str:
    """The next step if a server of this folder's local stack does not answer; empty for a server elsewhere."""
    stack = _find_stack()
    local = stack.servers if stack and stack.down() is not None else ()
    server = next((server for server in local if address == ("127.0.0.1", server.port)), None)
    if stack is None or server is None:
        return ""
    if (pid := server.pid) is None:
        return _restart_step(stack)
    log = server.log.relative_to(Path.cwd()) if server.log.is_relative_to(Path.cwd()) else server.log
    then = "`triagem up` starts another" if stack.in_use() else "start `triagem up`"
    return f"see {log}; if it does not recover, run `kill -9 {pid}`, then {then}"


def local_gateway(*, killed: bool = False) -> str:
    """The gateway's URL if `triagem up` runs in this folder, with workers and the configured Redis; else empty.

    `killed`: also if `triagem up` was killed and the servers still run.
    """
    stack, file = _find_stack(), STACK_FOLDER / ADDRESS_FILE
    if stack is None or (down := stack.down()) is None or not file.exists():
        return ""
    url = secret("TRIAGEM_REDIS_URL", InboxSettings().redis_url)
    if url not in {None, stack.endpoints.redis_url} or not (stack.in_use() or (killed and not down)):
        return ""
    return file.read_text(encoding="utf-8")


def running_address() -> str:
    """The gateway's URL that `triagem up` printed in this folder; empty without one, or with another database."""
    stack, file = local_stack(), STACK_FOLDER / ADDRESS_FILE
    if stack is None or stack.database_url != database_url() or not file.exists():
        return ""
    return file.read_text(encoding="utf-8")


def no_worker() -> str:
    """The state without a live worker, and the next step: a worker of `triagem up` in this folder may hang."""
    if not local_gateway():
        return NO_WORKER
    return (
        f"no worker answers, although `triagem up` runs: see {STACK_FOLDER}/worker-0.log; one that starts answers "
        "within seconds; if it hangs, kill its process, and `triagem up` starts another"
    )


def _restart_step(stack: LocalStack) -> str:
    return "`triagem up` is running and starts it within seconds" if stack.in_use() else "start `triagem up`"


def _find_stack() -> LocalStack | None:
    try:
        from triagem.stack import LocalStack  # noqa: PLC0415
    except ImportError:  # without the Postgres driver there can be no local stack
        return None
    return LocalStack(STACK_FOLDER)


def _require_local_stack(setting: str) -> Endpoints:
    """The URLs of the local stack. Raises NotConfigured unless the server of this setting is running."""
    stack = _find_stack()
    down = None if stack is None else stack.down()
    if stack is None or down is None:
        raise NotConfigured(
            f"{setting} is not set and there is no local stack in this folder: set it, or run `triagem up`"
        )
    if (server := _SERVERS[setting]) in down:
        raise NotConfigured(f"{server} of this folder's local stack is not running: {_restart_step(stack)}")
    return stack.endpoints
