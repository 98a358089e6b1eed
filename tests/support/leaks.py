"""Collects all output that people without access to texts and passwords may read, and finds secrets in it."""

from typing import Any, cast
from urllib.request import urlopen

from redis import Redis
from sqlalchemy import text

from triagem.cli.processes import WorkerProcess
from triagem.db import Database
from triagem.inbox import connect
from triagem.stack import LocalStack


def dead_letter_reasons(database: Database) -> list[str]:
    """The reasons of all dead letters."""
    with database.autocommit() as connection:
        return list(connection.execute(text("SELECT reason FROM dead_letters")).scalars())


def fetch_metrics(port: int) -> str:
    """The metrics page of a worker."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        return str(page.read().decode())


def all_output(
    stack: LocalStack, database: Database, *workers: WorkerProcess, metrics: str = "", commands: str = ""
) -> dict[str, str]:
    """Everything that was logged, counted or printed, by source."""
    return {
        "metrics": metrics,
        "commands": commands,
        "reasons of dead letters": "\n".join(dead_letter_reasons(database)),
        "broker": broker_content(connect(stack.endpoints.broker_url)),
        "Valkey's log": stack.valkey.log.read_text(errors="replace"),
        "Postgres' log": stack.postgres.log.read_text(errors="replace"),
        **{
            f"log of worker {number}": worker.log.read_text(errors="replace") for number, worker in enumerate(workers)
        },
    }


def leaks(output: dict[str, str], *secrets: str) -> list[str]:
    """The sources that contain a secret."""
    return [source for source, text in output.items() if any(secret in text for secret in secrets)]


def broker_content(broker: Redis) -> str:
    """All keys of a Redis database with their values."""
    read: dict[bytes, Any] = {
        b"string": broker.get,
        b"list": lambda key: broker.lrange(key, 0, -1),
        b"set": broker.smembers,
        b"hash": broker.hgetall,
        b"zset": lambda key: broker.zrange(key, 0, -1),
        b"stream": broker.xrange,
    }
    keys = cast("list[bytes]", list(broker.scan_iter()))
    return "\n".join(f"{key!r} {read[cast('bytes', broker.type(key))](key)!r}" for key in keys)
