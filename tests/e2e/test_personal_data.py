"""A ticket's text is personal data: only the inbox, the database and answers about the ticket contain it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import JsonValue
from sqlalchemy import text

from tests.e2e.conftest import StartWorker
from tests.support.command import Triagem
from tests.support.leaks import all_output, dead_letter_reasons, fetch_metrics, leaks
from tests.support.pipeline import stored
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.stream import stream_key
from triagem.stack import LocalStack
from triagem.stack.state import choose_port

CollectOutput = Callable[..., dict[str, str]]

MARK: Final = "Zqx7391"  # represents personal data
NUMBER: Final = 10**18 + 7391  # also represents personal data
UNREADABLE: Final = [
    MARK.encode(),
    json.dumps([MARK]).encode(),
    json.dumps({"v": 1, MARK: MARK}).encode(),
    json.dumps({"v": 1, "source": MARK * 20, "revised_at": "2026-01-01T00:00:00Z"}).encode(),
    json.dumps(
        {"v": 1, "source": "crm", "external_id": "1", "text": MARK, "revised_at": MARK, "metadata": {}}
    ).encode(),
    json.dumps(
        {
            "v": 1,
            "source": "crm",
            "external_id": "1",
            "text": "x",
            "revised_at": "2026-01-01T00:00:00Z",
            "metadata": {f"{MARK} {MARK}": 2**64},
        }
    ).encode(),
]
BAD_LINES: Final = [
    f'{{"external_id": "1", "text": "{MARK}"',
    f'"{MARK}"',
    f'{{"external_id": "2", "text": ["{MARK}"]}}',
    f'{{"external_id": "3", "text": "{MARK}", "revised_at": "{MARK}"}}',
    f'{{"external_id": "4", "text": "{MARK}", "metadata": "{MARK}"}}',
    f'{{"external_id": "5", "text": "{MARK}", "metadata": {{"{MARK} {MARK}": {10**30}}}}}',
    f'{{"external_id": {{"{MARK}": 1}}, "text": "x"}}',
    f'{{"external_id": "6", "text": "{MARK}\\ud800"}}',
]


def publish(inbox: Inbox, number: int, prefix: str = "") -> None:
    """Publish tickets whose text and metadata are personal data."""
    metadata: dict[str, JsonValue] = {"phone": MARK, "more": [{"note": MARK, "number": NUMBER}]}
    rows: list[TicketFields] = [
        {"source": "crm", "external_id": f"{prefix}{index}", "text": f"{prefix} {MARK}", "metadata": metadata}
        for index in range(number)
    ]
    Publisher(inbox).publish_many(rows)


def run_commands(triagem: Triagem) -> str:
    """The output of all commands that are not meant to print a text."""
    Path("bad.jsonl").write_text("\n".join(BAD_LINES), encoding="utf-8")
    Path("good.jsonl").write_text(f'{{"external_id": "7", "text": "{MARK}"}}\n', encoding="utf-8")
    Path("headless.csv").write_text(f'"8","{MARK} e quero saber o que houve com a fatura"\n"9","{MARK}"\n')
    commands = [
        ("enqueue", "bad.jsonl"),
        ("enqueue", "bad.jsonl", "--json"),
        ("enqueue", "bad.jsonl", "--strict"),
        ("enqueue", "good.jsonl"),
        ("enqueue", "headless.csv"),
        ("enqueue", "headless.csv", "--json"),
        ("enqueue", "headless.csv", "--map", "text=body"),
        ("backlog",),
        ("pause",),
        ("resume",),
        ("models", "list"),
        ("db", "upgrade"),
        ("doctor",),
        ("-v", "results"),
        ("results", "--format", "json"),
    ]
    return "\n".join(answer.out + answer.err for answer in (triagem(*command) for command in commands))


@pytest.fixture
def start(start_worker: StartWorker, instant_models: Path) -> StartWorker:
    """Starts a worker with a no-op engine."""
    return lambda engine="tests.support.engines:noop", **settings: start_worker(instant_models, engine, **settings)


@pytest.fixture
def collect_output(stack: LocalStack, database: Database) -> CollectOutput:
    """Collects every output in which a text could appear."""
    return lambda worker, **more: all_output(stack, database, worker, **more)


def test_no_text_is_in_a_log_a_metric_a_reason_or_the_broker(
    collect_output: CollectOutput, triagem: Triagem, inbox: Inbox, database: Database, start: StartWorker
) -> None:
    port = choose_port()
    worker = start(TRIAGEM_METRICS_PORT=str(port))
    publish(inbox, 40)
    for payload in UNREADABLE:
        inbox.redis.xadd(stream_key(Lane.LIVE), {"t": payload})
    until(lambda: (stored(database), len(dead_letter_reasons(database))) == (40, len(UNREADABLE)), seconds=60)
    commands = run_commands(triagem)
    until(lambda: stored(database) == 41)
    metrics = fetch_metrics(port)
    assert worker.stop() == 0

    output = collect_output(worker, metrics=metrics, commands=commands)
    assert leaks(output, MARK, str(NUMBER)) == []
    assert "dead_letter" in output["log of worker 0"]
    assert "predictions_total" in output["metrics"]
    assert "line 8" in output["commands"]
    assert MARK in triagem("show", "crm", "0").out


def test_a_requested_text_is_printed_on_standard_output_alone(
    triagem: Triagem, inbox: Inbox, database: Database, start: StartWorker
) -> None:
    publish(inbox, 1)
    start()
    until(lambda: stored(database) == 1, seconds=60)

    answer = triagem("-v", "show", "crm", "0")

    assert MARK in answer.out
    assert MARK not in answer.err


@pytest.fixture
def picky(database: Database) -> Iterator[None]:
    """A database that refuses some rows: Postgres puts the whole row into such an error."""
    rule = "ALTER TABLE tickets ADD CONSTRAINT picky CHECK (text NOT LIKE 'picky%')"
    with database.autocommit() as connection:
        connection.execute(text(rule))
    yield
    with database.autocommit() as connection:
        connection.execute(text("ALTER TABLE tickets DROP CONSTRAINT picky"))


@pytest.mark.usefixtures("picky")
def test_a_row_that_postgres_refuses_is_kept_with_a_reason_that_holds_no_text(
    collect_output: CollectOutput, inbox: Inbox, database: Database, start: StartWorker
) -> None:
    publish(inbox, 1, "picky")
    publish(inbox, 3, "good")
    worker = start()
    until(lambda: inbox.redis.xlen(stream_key(Lane.LIVE)) == 0 or worker.exit_status is not None, seconds=90)

    assert leaks(collect_output(worker), MARK, str(NUMBER)) == []
    assert (stored(database), len(dead_letter_reasons(database))) == (3, 1)


def test_a_text_that_makes_the_model_raise_is_kept_with_a_reason_that_holds_no_text(
    collect_output: CollectOutput, inbox: Inbox, database: Database, start: StartWorker
) -> None:
    publish(inbox, 1, "blurt")
    publish(inbox, 3, "good")
    worker = start("tests.support.engines:text_leaking")
    until(lambda: inbox.redis.xlen(stream_key(Lane.LIVE)) == 0 or worker.exit_status is not None, seconds=90)

    assert leaks(collect_output(worker), MARK, str(NUMBER)) == []
    assert (stored(database), len(dead_letter_reasons(database))) == (3, 1)
