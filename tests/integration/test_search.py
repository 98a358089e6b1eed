"""Full-text search in Portuguese and English, and deletion of the indexed lexemes."""

import pytest
from sqlalchemy import Connection, text

from bench.store import fill_database
from tests.support.builders import NOW
from tests.support.results import HOUR, names, result
from triagem.contracts.ticket import PREDICT_SOURCE, Identity
from triagem.db import Database
from triagem.db.retention import purge_texts
from triagem.db.tickets import search
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.tickets.window import write_window


def search_names(database: Database, query: str, filters: Filters = Filters()) -> list[str]:  # noqa: B008
    return names(list_results(database, filters, limit=50, search=query).rows)


def lexeme_count(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM ticket_lexemes")).scalar_one())


@pytest.mark.parametrize(
    ("written", "query"),
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
    database: Database, written: str, query: str
) -> None:
    write_window(database, [result("T-10133", text=written), result("other", text="nada")])
    assert index_queued_tickets(database) == 2
    assert search_names(database, query) == ["T-10133"]


@pytest.mark.parametrize("query", ["T-101", "0133", "t-10"])
def test_a_ticket_is_found_by_a_part_of_its_id(database: Database, query: str) -> None:
    write_window(database, [result("T-10133", text="nada"), result("T-90", text="nada")])
    index_queued_tickets(database)
    assert search_names(database, query) == ["T-10133"]


@pytest.mark.parametrize("query", ["A-72", "a-72"])
def test_an_id_with_a_stop_word_does_not_find_other_ids_or_texts(database: Database, query: str) -> None:
    newer = [result("B-72", text="nada"), result("C-1", text="pedido -72")]
    write_window(database, [result("A-72", text="nada", received_at=NOW - HOUR), *newer])
    index_queued_tickets(database)
    assert search_names(database, query) == ["A-72"]


@pytest.mark.parametrize("max_rare", [0, 5000], ids=["common words", "rare words"])
def test_the_ticket_with_the_searched_id_comes_first_and_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, max_rare: int
) -> None:
    monkeypatch.setattr(search, "_MAX_RARE", max_rare)
    rows = [result(str(number), text="veja T-90", received_at=NOW - HOUR * number) for number in range(3)]
    write_window(database, [*rows, result("T-90", text="nada", received_at=NOW - HOUR * 1.5)])
    index_queued_tickets(database)
    first = list_results(database, Filters(), limit=2, search="T-90")
    rest = list_results(database, Filters(), limit=2, search="T-90", after=first.after)
    assert (names(first.rows), names(rest.rows)) == (["T-90", "0", "1"], ["2"])
    assert search_names(database, "T-90", Filters(label="suporte")) == []


@pytest.mark.parametrize("query", ["fatura boleto", "the", "'", ":*|!&", "\\", "x" * 300, "%", " "])
def test_other_words_find_nothing_and_break_nothing(database: Database, query: str) -> None:
    write_window(database, [result("1", text="Recebi a fatura")])
    index_queued_tickets(database)
    assert search_names(database, query) == []


@pytest.mark.parametrize("max_rare", [0, 5000], ids=["common words", "rare words"])
def test_filters_and_pages_work_with_a_search(
    database: Database, monkeypatch: pytest.MonkeyPatch, max_rare: int
) -> None:
    monkeypatch.setattr(search, "_MAX_RARE", max_rare)
    rows = [result(str(number), text="fatura", received_at=NOW - HOUR * number) for number in range(4)]
    write_window(database, [*rows, result("other", text="fatura", label="suporte"), result("none", text="boleto")])
    index_queued_tickets(database)
    first = list_results(database, Filters(label="venda"), limit=3, search="fatura")
    assert names(first.rows) == ["0", "1", "2"]
    rest = list_results(database, Filters(label="venda"), limit=3, search="fatura", after=first.after)
    assert names(rest.rows) == ["3"]
    assert rest.after is None


def test_a_page_scans_a_limited_number_of_tickets_and_the_next_continues(
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
    pages, after = list[list[str]](), None
    for _ in range(3):
        page = list_results(database, Filters(), limit=50, search="boleto", scan_limit=2, after=after)
        pages.append(names(page.rows))
        after = page.after
    assert pages == [[], [], ["ours"]]
    assert list_results(database, Filters(), limit=50, scan_limit=2, after=after).after is None


def plan(connection: Connection, query: str, **values: object) -> str:
    return "\n".join(connection.execute(text(f"EXPLAIN {query}"), values).scalars())


class TestPlans:
    def test_a_rare_word_is_read_from_the_index_of_words(self, database: Database) -> None:
        with database.autocommit() as connection:
            with search._index_of_words(connection):
                chosen = plan(connection, search._FIND.text, search="boleto", limit=2001)
            settings = [
                connection.execute(text(f"SHOW enable_{scan}")).scalar_one() for scan in ("seqscan", "indexscan")
            ]

        assert "ix_ticket_lexemes_lexemes" in chosen
        assert settings == ["on", "on"]

    def test_a_word_of_many_texts_is_not(self, database: Database) -> None:
        rows = [result(str(number), text="fatura") for number in range(search._COMMON_IN_SAMPLE)]
        write_window(database, [*rows, result("other", text="boleto")])
        index_queued_tickets(database)
        with database.autocommit() as connection:
            few = [search.search_condition(connection, word)[1] for word in ("fatura", "boleto")]

        assert few == [False, True]

    def test_a_searched_id_is_read_from_the_index_of_ids(self, database: Database) -> None:
        fill_database(database, 4000)
        with database.autocommit() as connection:
            chosen = plan(connection, search._FIND_ID.text, search="1")

        assert "Index Cond: ((source = ANY" in chosen
        assert "Seq Scan on tickets" not in chosen

    def test_known_tickets_are_not_searched_among_the_newest(self, database: Database) -> None:
        fill_database(database, 4000)
        ids = database.scalars("SELECT id FROM tickets ORDER BY id LIMIT 2000")
        newest = f"SELECT * FROM results WHERE {search._RARE} ORDER BY received_at DESC, ticket_id DESC LIMIT 51"
        with database.autocommit() as connection:
            chosen = plan(connection, newest, ticket_ids=ids)

        assert "ix_tickets_newest" not in chosen


def test_a_revised_text_is_found_by_its_new_words(database: Database) -> None:
    write_window(database, [result("1", text="fatura")])
    index_queued_tickets(database)
    write_window(database, [result("1", text="boleto", revised_at=NOW)])
    assert index_queued_tickets(database) == 1
    assert (search_names(database, "fatura"), search_names(database, "boleto")) == ([], ["1"])


def test_queued_tickets_are_indexed_in_pages_within_a_time_budget(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAGE", 2)
    write_window(database, [result(str(number)) for number in range(5)])
    times = iter([0.0, 0.0, 1.0, 9.0])
    assert index_queued_tickets(database, budget_s=2, clock=lambda: next(times)) == 4
    assert index_queued_tickets(database) == 1
    assert index_queued_tickets(database) == 0


def test_a_forgotten_ticket_loses_its_lexemes_and_is_not_indexed_again(database: Database) -> None:
    write_window(database, [result("1", text="segredo")])
    index_queued_tickets(database)
    write_window(database, [result("1", text="segredo", revised_at=NOW)])
    write_tombstone(database, Identity("zendesk", "1"))
    delete_related(database, Identity("zendesk", "1"))
    index_queued_tickets(database)
    assert lexeme_count(database) == 0


def test_purging_a_text_purges_its_lexemes(database: Database) -> None:
    write_window(database, [result("old", text="segredo", received_at=NOW - HOUR), result("new", text="segredo")])
    index_queued_tickets(database)
    assert list(purge_texts(database, before=NOW)) == [1]
    assert search_names(database, "segredo") == ["new"]
    assert lexeme_count(database) == 1


def test_predict_requests_are_not_indexed(database: Database) -> None:
    write_window(database, [result("1", text="segredo", source=PREDICT_SOURCE)])
    index_queued_tickets(database)
    assert lexeme_count(database) == 0
