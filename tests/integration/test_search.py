"""Searching in texts, in Portuguese and English, and forgetting what was searched."""

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.results import HOUR, names, result
from triagem.contracts.ticket import PREDICT_SOURCE, Identity
from triagem.db import Database, search
from triagem.db.forgetting import delete_related, write_tombstone
from triagem.db.queries import Filters, list_results
from triagem.db.retention import purge_texts
from triagem.db.search import index_queued_tickets
from triagem.db.window import write_window


def found(database: Database, words: str, filters: Filters = Filters()) -> list[str]:  # noqa: B008
    return names(list_results(database, filters, limit=50, search=words).rows)


def words_kept(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM ticket_lexemes")).scalar_one())


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Recebi as faturas duas vezes", "fatura"),
        ("Quero um orçamento", "orcamento"),
        ("Quero um orcamento", "ORÇAMENTO"),
        ("Minhas reclamações", "reclamação"),
        ("The invoices were wrong", "invoice"),
        ("I was charged twice", "charges twice"),
        ("anything", "T-10133"),
    ],
)
def test_a_text_is_found_by_forms_of_its_words_with_or_without_accents_and_by_its_id(
    database: Database, written: str, asked: str
) -> None:
    write_window(database, [result("T-10133", text=written), result("other", text="nada")])
    assert index_queued_tickets(database) == 2
    assert found(database, asked) == ["T-10133"]


@pytest.mark.parametrize("asked", ["fatura boleto", "the", "'", ":*|!&", "\\", "x" * 300, "%", " "])
def test_other_words_find_nothing_and_break_nothing(database: Database, asked: str) -> None:
    write_window(database, [result("1", text="Recebi a fatura")])
    index_queued_tickets(database)
    assert found(database, asked) == []


@pytest.mark.parametrize("few", [0, 5000], ids=["common words", "rare words"])
def test_filters_and_pages_go_with_words(database: Database, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(search, "_MAX_RARE", few)
    rows = [result(str(number), text="fatura", received_at=NOW - HOUR * number) for number in range(4)]
    write_window(database, [*rows, result("other", text="fatura", label="suporte"), result("none", text="boleto")])
    index_queued_tickets(database)
    first = list_results(database, Filters(label="venda"), limit=3, search="fatura")
    assert names(first.rows) == ["0", "1", "2"]
    rest = list_results(database, Filters(label="venda"), limit=3, search="fatura", after=first.after)
    assert names(rest.rows) == ["3"]
    assert rest.after is None


def test_a_page_looks_at_so_many_tickets_and_goes_on_from_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_window(
        database, [result(str(number), text="fatura", received_at=NOW - HOUR * number) for number in range(5)]
    )
    write_window(database, [result("ours", text="boleto", received_at=NOW - HOUR * 3.5)])
    index_queued_tickets(database)
    assert names(list_results(database, Filters(), limit=50, search="boleto", scan_limit=2).rows) == [
        "ours"
    ]  # a rare word
    monkeypatch.setattr(search, "_MAX_RARE", 0)
    seen, after = list[list[str]](), None
    for _ in range(3):
        page = list_results(database, Filters(), limit=50, search="boleto", scan_limit=2, after=after)
        seen.append(names(page.rows))
        after = page.after
    assert seen == [[], [], ["ours"]]
    assert list_results(database, Filters(), limit=50, scan_limit=2, after=after).after is None


def test_a_revised_text_is_found_by_its_new_words(database: Database) -> None:
    write_window(database, [result("1", text="fatura")])
    index_queued_tickets(database)
    write_window(database, [result("1", text="boleto", revised_at=NOW)])
    assert index_queued_tickets(database) == 1
    assert (found(database, "fatura"), found(database, "boleto")) == ([], ["1"])


def test_what_is_due_is_done_in_pages_for_so_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE", 2)
    write_window(database, [result(str(number)) for number in range(5)])
    moments = iter([0.0, 0.0, 1.0, 9.0])
    assert index_queued_tickets(database, budget_s=2, clock=lambda: next(moments)) == 4
    assert index_queued_tickets(database) == 1
    assert index_queued_tickets(database) == 0


def test_nothing_is_kept_of_a_forgotten_ticket_nor_learned_of_it_later(database: Database) -> None:
    write_window(database, [result("1", text="segredo")])
    index_queued_tickets(database)
    write_window(database, [result("1", text="segredo", revised_at=NOW)])
    write_tombstone(database, Identity("zendesk", "1"))
    delete_related(database, Identity("zendesk", "1"))
    index_queued_tickets(database)
    assert words_kept(database) == 0


def test_purging_a_text_purges_its_words(database: Database) -> None:
    write_window(database, [result("old", text="segredo", received_at=NOW - HOUR), result("new", text="segredo")])
    index_queued_tickets(database)
    assert list(purge_texts(database, before=NOW)) == [(1, 1)]
    assert found(database, "segredo") == ["new"]
    assert words_kept(database) == 1


def test_what_only_asked_for_a_prediction_is_not_searched(database: Database) -> None:
    write_window(database, [result("1", text="segredo", source=PREDICT_SOURCE)])
    index_queued_tickets(database)
    assert words_kept(database) == 0
