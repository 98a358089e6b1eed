"""Copies, contradictions and leaks are found before anything learns from them."""

import pytest

from contracts.errors import InvalidInput
from trainer.audit import audit, refuse_leaks
from trainer.data import Row

INTERNET = Row("minha internet caiu de novo e não volta desde ontem", "suporte", "pt")
QUOTE = Row("we need a quote for twenty more licences by Friday", "venda", "en")
INVOICE = Row("a fatura deste mês veio com o valor em dobro", "suporte", "pt")


def near(row: Row) -> Row:
    return Row(row.text + "!", row.label, row.lang)


def test_clean_rows_have_nothing_to_say_but_their_counts() -> None:
    found = audit([INTERNET, QUOTE], [INVOICE])

    assert found.lines() == [
        "2 training rows (suporte 50%, venda 50%), 1 test rows",
        "languages: pt 50%, en 50%",
    ]
    refuse_leaks(found)


def test_copies_are_counted_apart_from_near_copies() -> None:
    found = audit([INTERNET, INTERNET, INTERNET, near(INTERNET), QUOTE], [INVOICE])

    assert (found.copies, found.near_copies) == (2, 1)


def test_a_text_with_two_labels_is_a_contradiction_once() -> None:
    other = Row(INTERNET.text, "venda")

    assert audit([INTERNET, other, other, QUOTE], []).contradictions == 1


def test_a_test_row_that_is_in_train_is_leaked_and_one_that_nearly_is_nearly_so() -> None:
    found = audit([INTERNET, QUOTE], [INTERNET, near(QUOTE), INVOICE])

    assert (found.leaked, found.nearly_leaked) == (1, 1)


def test_copies_within_the_test_are_no_leak() -> None:
    found = audit([INTERNET, QUOTE], [INVOICE, INVOICE, near(INVOICE)])

    assert (found.leaked, found.nearly_leaked) == (0, 0)


@pytest.mark.parametrize("leak", [INTERNET, near(INTERNET)], ids=["letter by letter", "nearly"])
def test_a_leaked_test_set_is_refused_with_the_number_of_rows(leak: Row) -> None:
    with pytest.raises(InvalidInput, match=r"of 2 test rows \d are also in train.*--allow-leakage"):
        refuse_leaks(audit([INTERNET, QUOTE], [leak, INVOICE]))


def test_the_public_exercise_of_twenty_sentences_is_refused() -> None:
    """500 training and 100 test rows of the seed's format that hold 20 distinct sentences in all."""
    sentences = [Row(f"{INVOICE.text} de número {number * 7919}", "suporte") for number in range(20)]

    with pytest.raises(InvalidInput, match="of 100 test rows 100 are also in train"):
        refuse_leaks(audit(sentences * 25, sentences * 5))
