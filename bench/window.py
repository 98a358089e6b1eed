"""Compares the database's statements of two source trees in turns, on one Postgres: prints the median ratio.

git worktree add /tmp/before COMMIT
python -m bench.window /tmp/before --rows 1000000
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg
from sqlalchemy import text as sql

from bench.console import _WORDS
from bench.store import _row, fill_database
from triagem.contracts.text import digest
from triagem.db import Database
from triagem.db.tickets.queries import Filters, find_ticket_with_history, list_results
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.db.upgrade import upgrade

ROOT: Final = Path(__file__).parents[1]
WINDOWS: Final = ("new tickets", "edited", "delivered again")
READS: Final = ("show", "a page of results", "a word of one text", "a word of all texts")
ROWS: Final = 256


def serve(url: str, rows: int) -> None:
    """Fills a database, then writes one window per line of standard input and prints its seconds."""
    with Database(url) as database:
        upgrade(database)
        fill_database(database, rows)
        with database.autocommit() as connection:
            connection.execute(_WORDS)
            connection.execute(sql("VACUUM ANALYZE ticket_lexemes"))
        print("ready", flush=True)
        for line in sys.stdin:
            kind, number = line.split(",")
            work = _work(database, kind, int(number), rows)
            started = time.perf_counter()
            work()
            print(time.perf_counter() - started, flush=True)


def _work(database: Database, kind: str, number: int, rows: int) -> Callable[[], object]:
    name = str(random.Random(number).randrange(rows))  # both trees read the same tickets
    match kind:
        case "show":
            return partial(find_ticket_with_history, database, "fill", name)
        case "a page of results":
            return partial(list_results, database, Filters(), limit=50)
        case "a word of one text":
            return partial(list_results, database, Filters(), limit=50, search=name)
        case "a word of all texts":
            return partial(list_results, database, Filters(), limit=50, search="fatura")
        case _:
            return partial(write_window, database, _window(kind, number))


def _window(kind: str, pair: int) -> list[ClassifiedTicket]:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    window = [_row(f"{pair}-{number}", now) for number in range(ROWS)]
    edited = kind != "new tickets"
    return [
        replace(
            row,
            digest=digest(f"{row.ticket.text} {edited}"),
            ticket=row.ticket.model_copy(
                update={"text": f"{row.ticket.text} {edited}", "revised_at": now + timedelta(hours=edited)}
            ),
        )
        for row in window
    ]


@contextmanager
def tree(path: Path, url: str, rows: int) -> Iterator[subprocess.Popen[str]]:
    """A process with the code of a source tree."""
    command = [sys.executable, __file__, "--serve", url, "--rows", str(rows)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(path),
        "PYTHONSAFEPATH": "1",
        "TRIAGEM_STATEMENT_TIMEOUT_S": "86400",
    }
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


def ask(process: subprocess.Popen[str], kind: str, pair: int) -> float:
    """The seconds of one window."""
    assert process.stdin
    assert process.stdout
    print(f"{kind},{pair}", file=process.stdin, flush=True)
    return float(process.stdout.readline())


def compare(before: Path, rows: int, pairs: int) -> None:
    """Prints a line for each kind of window."""
    from triagem.stack import LocalStack  # not at the top: the other tree may have it elsewhere

    with TemporaryDirectory(prefix="triagem-window-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)
        servers = LocalStack(Path(folder) / "stack")
        url = servers.start().database_url
        stack.callback(servers.erase)
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("CREATE DATABASE before")
            owner.execute("CREATE DATABASE now")
        sides = [
            stack.enter_context(tree(path, f"{url.rpartition('/')[0]}/{name}", rows))
            for name, path in (("before", before), ("now", ROOT))
        ]
        for side in sides:
            assert side.stdout
            assert side.stdout.readline() == "ready\n"
        for kind in (*WINDOWS, *READS):
            seconds = [[ask(side, kind, pair) for side in sides] for pair in range(pairs)]
            medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
            ratio = statistics.median(now / then for then, now in seconds)
            print(
                f"{kind}: {medians[0] * 1000:.2f} ms before, {medians[1] * 1000:.2f} ms now;"
                f" median of {pairs} ratios {ratio:.3f} ({rows:,} tickets stored)",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="source tree to compare with")
    parser.add_argument("--rows", type=int, default=1_000_000, help="stored tickets")
    parser.add_argument("--pairs", type=int, default=200, help="windows per kind and tree")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.rows)
    else:
        compare(options.before, options.rows, options.pairs)
