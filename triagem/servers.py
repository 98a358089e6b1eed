"""Resolves the servers that a process uses: the environment, a `*_FILE` variable, else the running local stack.

The database and the local stack are imported late: a process that submits tickets needs only Redis.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from triagem.contracts.errors import MissingExtra, NotConfigured
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.process import secret

if TYPE_CHECKING:
    from triagem.db import Database
    from triagem.registry import Registry
    from triagem.stack import Endpoints

STACK_FOLDER: Final = Path(".triagem")
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


def local_stack() -> Endpoints | None:
    """The URLs of the local stack that runs in this folder, if any."""
    try:
        from triagem.stack import LocalStack  # noqa: PLC0415

        return LocalStack(STACK_FOLDER).running()
    except (ImportError, MissingExtra):
        return None


def _require_local_stack(setting: str) -> Endpoints:
    """The URLs of the local stack. Raises NotConfigured unless the server of this setting is running."""
    try:
        from triagem.stack import LocalStack  # noqa: PLC0415

        stack = LocalStack(STACK_FOLDER)
        down = stack.down()
    except (ImportError, MissingExtra):
        down = None
    if down is None:
        raise NotConfigured(
            f"{setting} is not set and there is no local stack in this folder: set it, or run `triagem up`"
        )
    if (server := _SERVERS[setting]) in down:
        raise NotConfigured(
            f"{server} of this folder's local stack is not running: start `triagem up`; if it runs, it restarts "
            f"{server} within seconds"
        )
    return stack.endpoints
