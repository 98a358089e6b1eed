"""Searching in texts, in Portuguese and English, and forgetting what was searched."""

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.results import HOUR, names, result
from triagem.contracts.ticket import PREDICT, Identity
from triagem.db import Database, search
from triagem.db.forget import delete_rest, entomb
from triagem.db.queries import Filters, results
from triagem.db.retain import purge_texts
from triagem.db.search import learn
from triagem.db.window import write


def found(database: Database, words: str, filters: Filters = Filters()) -> list[str]:  # noqa: B008
    return names(results(database, filters, limit=50, words=words).rows)


def words_kept(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM ticket_words")).scalar_one())


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
    write(database, [result("T-10133", words=written), result("other", words="nada")])
    assert learn(database) == 2
    assert found(database, asked) == ["T-10133"]


@pytest.mark.parametrize("asked", ["fatura boleto", "the", "'", ":*|!&", "\\", "x" * 300, "%", " "])
def test_other_words_find_nothing_and_break_nothing(database: Database, asked: str) -> None:
    write(database, [result("1", words="Recebi a fatura")])
    learn(database)
    assert found(database, asked) == []


@pytest.mark.parametrize("few", [0, 5000], ids=["common words", "rare words"])
def test_filters_and_pages_go_with_words(database: Database, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(search, "_FEW", few)
    rows = [result(str(number), words="fatura", received_at=NOW - HOUR * number) for number in range(4)]
    write(database, [*rows, result("other", words="fatura", label="suporte"), result("none", words="boleto")])
    learn(database)
    first = results(database, Filters(label="venda"), limit=3, words="fatura")
    assert names(first.rows) == ["0", "1", "2"]
    rest = results(database, Filters(label="venda"), limit=3, words="fatura", after=first.after)
    assert names(rest.rows) == ["3"]
    assert rest.after is None


def test_a_page_looks_at_so_many_tickets_and_goes_on_from_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(database, [result(str(number), words="fatura", received_at=NOW - HOUR * number) for number in range(5)])
    write(database, [result("ours", words="boleto", received_at=NOW - HOUR * 3.5)])
    learn(database)
    assert names(results(database, Filters(), limit=50, words="boleto", within=2).rows) == ["ours"]  # a rare word
    monkeypatch.setattr(search, "_FEW", 0)
    seen, after = list[list[str]](), None
    for _ in range(3):
        page = results(database, Filters(), limit=50, words="boleto", within=2, after=after)
        seen.append(names(page.rows))
        after = page.after
    assert seen == [[], [], ["ours"]]
    assert results(database, Filters(), limit=50, within=2, after=after).after is None


def test_a_revised_text_is_found_by_its_new_words(database: Database) -> None:
    write(database, [result("1", words="fatura")])
    learn(database)
    write(database, [result("1", words="boleto", revised_at=NOW)])
    assert learn(database) == 1
    assert (found(database, "fatura"), found(database, "boleto")) == ([], ["1"])


def test_what_is_due_is_done_in_pages_for_so_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE", 2)
    write(database, [result(str(number)) for number in range(5)])
    moments = iter([0.0, 0.0, 1.0, 9.0])
    assert learn(database, for_s=2, clock=lambda: next(moments)) == 4
    assert learn(database) == 1
    assert learn(database) == 0


def test_nothing_is_kept_of_a_forgotten_ticket_nor_learned_of_it_later(database: Database) -> None:
    write(database, [result("1", words="segredo")])
    learn(database)
    write(database, [result("1", words="segredo", revised_at=NOW)])
    entomb(database, Identity("zendesk", "1"))
    delete_rest(database, Identity("zendesk", "1"))
    learn(database)
    assert words_kept(database) == 0


def test_purging_a_text_purges_its_words(database: Database) -> None:
    write(database, [result("old", words="segredo", received_at=NOW - HOUR), result("new", words="segredo")])
    learn(database)
    assert list(purge_texts(database, before=NOW)) == [(1, 1)]
    assert found(database, "segredo") == ["new"]
    assert words_kept(database) == 1


def test_what_only_asked_for_a_prediction_is_not_searched(database: Database) -> None:
    write(database, [result("1", words="segredo", source=PREDICT)])
    learn(database)
    assert words_kept(database) == 0
