"""Everything that a person or a machine may read who is not meant to read texts or passwords, in one place."""

from typing import Any, cast
from urllib.request import urlopen

from redis import Redis
from sqlalchemy import text

from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import LocalStack
from triagem.db import Database
from triagem.inbox import connect


def reasons(database: Database) -> list[str]:
    """Why entries became dead letters."""
    with database.autocommit() as connection:
        return list(connection.execute(text("SELECT reason FROM dead_letters")).scalars())


def metrics_of(port: int) -> str:
    """A worker's page for Prometheus."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        return str(page.read().decode())


def said_about(
    stack: LocalStack, database: Database, *workers: WorkerProcess, metrics: str = "", commands: str = ""
) -> dict[str, str]:
    """All that was logged, counted or printed, by where."""
    return {
        "metrics": metrics,
        "commands": commands,
        "reasons of dead letters": "\n".join(reasons(database)),
        "broker": broker_content(connect(stack.endpoints.broker_url)),
        "Valkey's log": stack.valkey.log.read_text(errors="replace"),
        "Postgres' log": stack.postgres.log.read_text(errors="replace"),
        **{f"log of worker {number}": one.log.read_text(errors="replace") for number, one in enumerate(workers)},
    }


def leaks(said: dict[str, str], *secrets: str) -> list[str]:
    """Where a secret was said."""
    return [where for where, words in said.items() if any(secret in words for secret in secrets)]


def broker_content(broker: Redis) -> str:
    """All keys of a Redis database with all that they hold."""
    read: dict[bytes, Any] = {
        b"string": broker.get,
        b"list": lambda key: broker.lrange(key, 0, -1),
        b"set": broker.smembers,
        b"hash": broker.hgetall,
        b"zset": lambda key: broker.zrange(key, 0, -1),
    }
    keys = cast("list[bytes]", list(broker.scan_iter()))
    return "\n".join(f"{key!r} {read[cast('bytes', broker.type(key))](key)!r}" for key in keys)
