"""Times the database statements of two source trees in turns on one Postgres, and prints the median ratios.

CPU time is that of the client and of its server process. It hardly depends on other programs. Linux only.

git worktree add /tmp/before COMMIT
python -m bench.window /tmp/before --rows 1000000
python -m bench.window /tmp/before --rows 10000000 --pairs 20 --only "a word" --folder /var/tmp/window
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
from sqlalchemy import Connection
from sqlalchemy import text as sql

from bench.store import _row, fill_database
from triagem.contracts.text import digest
from triagem.db import Database
from triagem.db.tickets.queries import Filters, find_ticket_with_history, list_results
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.db.upgrade import upgrade

ROOT: Final = Path(__file__).parents[1]
WINDOWS: Final = ("new tickets", "edited", "delivered again")
# Each text has the word `kN`, N being its row's id modulo 1,000.
SEARCHES: Final = {"a word of one text": "", "a word of 0.1 % of the texts": "k7", "a word of all texts": "fatura"}
KINDS: Final = (*WINDOWS, "show", "a page of results", *SEARCHES)
ROWS: Final = 256
SCAN_LIMIT: Final = 10_000  # as on the console's page
# The search index as `triagem.db.tickets.search` builds it, computed in SQL.
WORDS: Final = """
INSERT INTO ticket_lexemes (ticket_id, digest, lexemes)
SELECT t.id, t.digest, common.words || to_tsvector('simple', t.external_id || ' k' || mod(t.id, 1000))
FROM tickets t, (SELECT strip(to_tsvector('portuguese', text)) AS words FROM tickets LIMIT 1) AS common
"""


def serve(url: str) -> None:
    """Runs one statement per line of standard input, `kind,number,rows`, and prints its seconds and CPU seconds."""
    with Database(url) as database:
        with database.autocommit() as connection:  # the pool's only connection, because only one thread uses it
            backend = Path(f"/proc/{connection.execute(sql('SELECT pg_backend_pid()')).scalar_one()}/schedstat")
        for line in sys.stdin:
            kind, number, rows = line.split(",")
            work = _work(database, kind, int(number), int(rows))
            started, started_cpu = time.perf_counter(), _cpu(backend)
            work()
            print(time.perf_counter() - started, _cpu(backend) - started_cpu, flush=True)


def _cpu(backend: Path) -> float:
    """CPU seconds of this process and its server process, which other programs on the machine hardly change."""
    return time.process_time() + int(backend.read_text().split()[0]) / 1e9


def _work(database: Database, kind: str, number: int, rows: int) -> Callable[[], object]:
    name = str(random.Random(number).randrange(rows))  # both trees read the same tickets
    match kind:
        case "fill":
            return partial(_fill, database, rows)
        case "show":
            return partial(find_ticket_with_history, database, "fill", name)
        case "a page of results":
            return partial(list_results, database, Filters(), limit=50)
        case _ if kind in SEARCHES:
            word = SEARCHES[kind] or name
            return partial(list_results, database, Filters(), limit=50, search=word, scan_limit=SCAN_LIMIT)
        case _:
            return partial(write_window, database, _window(kind, number))


def _fill(database: Database, rows: int) -> None:
    upgrade(database)  # one tree after the other, because both create the server's roles
    with database.autocommit() as connection:
        if connection.execute(sql("SELECT count(*) FROM ticket_lexemes")).scalar_one() >= rows:
            return
        restore = _drop_indexes(connection)
        fill_database(database, rows)
        for statement in ("TRUNCATE ticket_lexemes", WORDS, *restore, "VACUUM ANALYZE"):
            connection.exec_driver_sql(statement)


def _drop_indexes(connection: Connection) -> list[str]:
    """Drop what makes millions of inserts slow; returns the statements that create it again."""
    constraints = connection.exec_driver_sql("""
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid IN ('tickets'::regclass, 'predictions'::regclass, 'ticket_lexemes'::regclass)
          AND contype IN ('p', 'u', 'f') AND NOT (contype = 'p' AND conrelid = 'tickets'::regclass)
    """).all()
    for table, name, _ in constraints:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.exec_driver_sql("""
        SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid IN ('tickets'::regclass, 'predictions'::regclass, 'ticket_lexemes'::regclass)
          AND NOT indisprimary
    """).all()
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    added = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}" for table, name, definition in constraints]
    return ["SET maintenance_work_mem = '1GB'", *(definition for _, definition in indexes), *added]


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
            prediction=replace(row.prediction, confidence=0.8 if edited else 0.9),
        )
        for row in window
    ]


@contextmanager
def tree(path: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process with the code of a source tree."""
    command = [sys.executable, __file__, "--serve", url]
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


def ask(process: subprocess.Popen[str], kind: str, pair: int, rows: int) -> tuple[float, float]:
    """The seconds and the CPU seconds of one statement."""
    assert process.stdin
    assert process.stdout
    print(f"{kind},{pair},{rows}", file=process.stdin, flush=True)
    seconds, cpu = process.stdout.readline().split()
    return float(seconds), float(cpu)


def compare(before: Path, sizes: list[int], pairs: int, kinds: list[str], folder: Path, *, shared: bool) -> None:
    """Prints a line for each number of stored tickets and kind of statement."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    for rows in sizes:
        with servers(folder, fsync=False) as urls:
            for path, url in [*zip((before, ROOT), urls, strict=True)][shared:]:
                with tree(path, url) as side:
                    ask(side, "fill", 0, rows)
        with servers(folder, fsync=True) as urls, ExitStack() as stack:
            chosen = (urls[1], urls[1]) if shared else urls
            sides = [stack.enter_context(tree(path, url)) for path, url in zip((before, ROOT), chosen, strict=True)]
            for kind in kinds:
                _compare(sides, kind, range(rows, rows + pairs), rows)


@contextmanager
def servers(folder: Path, *, fsync: bool) -> Iterator[tuple[str, str]]:
    """The URLs of the two databases, on one running Postgres."""
    from triagem.stack import LocalStack  # imported here: in the other tree the module may have another path

    with LocalStack(folder / "stack", fsync=fsync) as endpoints:
        url = endpoints.database_url
        with psycopg.connect(url, autocommit=True) as owner:
            names = {name for (name,) in owner.execute("SELECT datname FROM pg_database")}
            for name in {"before", "now"} - names:
                owner.execute(f"CREATE DATABASE {name}")
        yield f"{url.rpartition('/')[0]}/before", f"{url.rpartition('/')[0]}/now"


def erase(folder: Path) -> None:
    """Deletes the databases, which may be stored outside the folder."""
    from triagem.stack import LocalStack

    LocalStack(folder / "stack").erase()


def _compare(sides: list[subprocess.Popen[str]], kind: str, numbers: range, rows: int) -> None:
    times = []
    for number in numbers:
        if number % 2:
            times.append([ask(side, kind, number, rows) for side in sides])
        else:
            times.append([ask(side, kind, number, rows) for side in reversed(sides)][::-1])
    for position, unit in enumerate(("ms", "ms of CPU")):
        before, now = ([time[side][position] * 1000 for time in times] for side in (0, 1))
        ratio = statistics.median(after / earlier for after, earlier in zip(now, before, strict=True))
        print(
            f"{rows:,} tickets, {kind}: {statistics.median(before):.2f} {unit} before,"
            f" {statistics.median(now):.2f} now; median of {len(numbers)} ratios {ratio:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="?", help="source tree to compare with")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="numbers of stored tickets")
    parser.add_argument("--pairs", type=int, default=200, help="windows per kind and tree")
    parser.add_argument("--only", default="", help="only kinds of statement whose name contains this")
    parser.add_argument("--folder", type=Path, help="keep the databases in this folder, and use what it contains")
    parser.add_argument("--shared", action="store_true", help="reads only: both trees read the tables of this one")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    else:
        with TemporaryDirectory(prefix="triagem-window-") as temporary:
            Path(temporary).chmod(0o711)
            folder = (options.folder or Path(temporary)).resolve()
            kinds = [kind for kind in KINDS if options.only in kind and not (options.shared and kind in WINDOWS)]
            try:
                compare(options.before.resolve(), options.rows, options.pairs, kinds, folder, shared=options.shared)
            finally:
                if not options.folder:
                    erase(folder)
