"""Resolves the servers a command uses: the environment, else the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triagem.contracts.errors import MissingExtra, NotConfigured
from triagem.inbox import Inbox, InboxSettings, connect

if TYPE_CHECKING:
    from triagem.cli.stack import Endpoints
    from triagem.db import Database

STACK_FOLDER = Path(".triagem")


def redis_url() -> str:
    """`TRIAGEM_REDIS_URL`, else the local stack's. Raises NotConfigured."""
    url = InboxSettings().redis_url
    return url.get_secret_value() if url else _stack("TRIAGEM_REDIS_URL").redis_url


def database_url() -> str:
    """`TRIAGEM_DATABASE_URL`, else the local stack's. Raises NotConfigured; MissingExtra without `triagem[db]`."""
    try:
        from triagem.db import DatabaseSettings
    except ImportError:
        raise MissingExtra("the Postgres driver is not installed: run pip install 'triagem[db]'") from None
    url = DatabaseSettings().database_url
    return url.get_secret_value() if url else _stack("TRIAGEM_DATABASE_URL").database_url


def broker_url() -> str:
    """`TRIAGEM_BROKER_URL`, else derived from the Redis URL of the inbox. Raises NotConfigured."""
    from triagem.worker.settings import WorkerSettings, default_broker_url

    url = WorkerSettings().broker_url
    return url.get_secret_value() if url else default_broker_url(redis_url())


def inbox() -> Inbox:
    """The inbox of the configured Redis."""
    return Inbox(connect(redis_url()), InboxSettings())


def database() -> Database:
    """The configured database."""
    url = database_url()
    from triagem.db import Database

    return Database(url)


def _stack(setting: str) -> Endpoints:
    try:
        from triagem.cli.stack import running

        endpoints = running(STACK_FOLDER)
    except (ImportError, MissingExtra):
        endpoints = None
    if endpoints is None:
        raise NotConfigured(
            f"{setting} is not set and no local stack is running here: set it, or start a stack with `triagem up`"
        )
    return endpoints
