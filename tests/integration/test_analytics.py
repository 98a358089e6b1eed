"""The views for analysts: lane, channel, language, path of the label, verdicts, and messages."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.builders import NOW, YESTERDAY, classified
from tests.support.conversations import ManualWorker, entries, message
from tests.support.results import insert_review, result
from tests.support.windows import rows
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.retention import purge_texts
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.window import write_window


def only(database: Database, view: str, *columns: str) -> tuple[Any, ...]:
    """These columns of the view's only row."""
    (row,) = rows(database, f"analytics.{view}")
    return tuple(row[column] for column in columns)


@pytest.mark.parametrize("view", ["results", "history", "daily"])
def test_lane_channel_and_language_stay_when_the_metadata_is_purged(database: Database, view: str) -> None:
    write_window(database, [classified(metadata={"channel": "whatsapp", "locale": "pt-BR"})])

    list(purge_texts(database, before=NOW + timedelta(days=1)))

    assert rows(database, "tickets")[0]["metadata"] == {}
    assert only(database, view, "lane", "channel", "language") == ("live", "whatsapp", "pt")


@pytest.mark.parametrize("name", ["language", "lang", "locale"])
@pytest.mark.parametrize(("detected", "expected"), [("es", "es"), ("und", "pt")])
def test_the_crms_language_counts_only_where_the_text_shows_none(
    database: Database, name: str, detected: str, expected: str
) -> None:
    write_window(database, [classified(metadata={name: "pt-BR"}, detected=detected)])

    assert only(database, "results", "language") == (expected,)


def test_a_text_of_no_known_language_is_undetermined(database: Database) -> None:
    write_window(database, [classified()])

    assert only(database, "results", "language") == ("und",)


def test_a_newer_text_brings_its_language_and_an_older_one_does_not(database: Database) -> None:
    write_window(database, [classified(detected="pt", arrival=2)])
    write_window(database, [classified(detected="fr", digest=b"older", arrival=1)])
    assert only(database, "results", "language") == ("pt",)

    write_window(database, [classified(detected="es", digest=b"newer", arrival=3)])

    assert only(database, "results", "language") == ("es",)


@pytest.mark.parametrize("lanes", [(Lane.BULK, Lane.LIVE), (Lane.LIVE, Lane.BULK)])
def test_a_ticket_is_live_if_one_of_its_texts_came_live(database: Database, lanes: tuple[Lane, Lane]) -> None:
    for lane in lanes:
        write_window(database, [replace(classified(), lane=lane)])

    assert only(database, "results", "lane") == ("live",)


def test_a_channel_that_is_named_later_is_added(database: Database) -> None:
    write_window(database, [classified()])
    write_window(database, [replace(classified(metadata={"channel": "email"}), arrival=2)])

    assert only(database, "results", "channel") == ("email",)


@pytest.mark.parametrize("view", ["results", "history", "daily"])
def test_the_path_of_a_label_starts_with_its_topmost_parent(database: Database, view: str) -> None:
    with database.autocommit() as connection:
        connection.execute(
            text("""
            INSERT INTO labels (label, name, parent) VALUES
              ('atendimento', '', NULL), ('comercial', '', 'atendimento'), ('venda', '', 'comercial')
            """)
        )
    write_window(database, [result("1")])

    assert only(database, view, "label_path") == ("atendimento/comercial/venda",)


def test_each_verdict_says_whether_it_is_the_latest_of_the_current_text(database: Database) -> None:
    write_window(database, [result("1")])
    insert_review(database, "1", "suporte")
    insert_review(database, "1", "venda", reviewer="bia")
    insert_review(database, "1", "venda", text="B")

    verdicts = rows(database, "analytics.verdicts")

    assert [(row["reviewer"], row["label"], row["of_current_text"], row["is_latest"]) for row in verdicts] == [
        ("ana", "suporte", True, False),
        ("bia", "venda", True, True),
        ("ana", "venda", False, True),
    ]


def test_messages_have_authors_and_times_and_those_of_forgotten_tickets_are_left_out(database: Database) -> None:
    worker = ManualWorker(database)
    written = [
        message("1", "Quero um orçamento do plano anual"),
        message("2", "Segue a proposta", minute=1, author="agent"),
        message("1", "Quero cancelar o plano anual", minute=2),
        message("2", minute=3, author="agent", deleted=True),
        message("1", "Minha internet caiu", external_id="forgotten"),
    ]
    worker.process(entries(written))
    write_tombstone(database, Identity("zendesk", "forgotten"))

    times = [YESTERDAY + timedelta(minutes=minute) for minute in range(4)]
    assert [tuple(row.values())[1:] for row in rows(database, "analytics.messages")] == [
        ("zendesk", "4711", "1", "customer", times[0], times[2], None),
        ("zendesk", "4711", "2", "agent", times[1], None, times[3]),
    ]
