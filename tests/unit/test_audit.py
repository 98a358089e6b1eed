"""Copies, contradictions and leaks are found before anything learns from them."""

from collections.abc import Sequence

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.trainer.audit import Audit, audit, refuse_leaks
from triagem.trainer.data import Corpus, Row

INTERNET = Row("minha internet caiu de novo e não volta desde ontem", "suporte", "pt", "train.jsonl:1")
QUOTE = Row("we need a quote for twenty more licences by Friday", "venda", "en", "train.jsonl:2")
INVOICE = Row("a fatura deste mês veio com o valor em dobro", "suporte", "pt", "test.jsonl:7")
TRAIN = (INTERNET, QUOTE)


def near(row: Row) -> Row:
    return Row(row.text + "!", row.label, row.lang, "near.jsonl:1")


def look(train: Sequence[Row], **held_out: Sequence[Row]) -> Audit:
    """The audit of these rows; a part that is not named has no file."""
    return audit(Corpus(("suporte", "venda"), tuple(train), **{part: tuple(rows) for part, rows in held_out.items()}))


def test_clean_rows_report_only_their_counts() -> None:
    found = look(TRAIN, dev=[INVOICE], test=[INVOICE])

    assert found.lines() == [
        "2 training rows (suporte 50%, venda 50%), 1 dev rows, 1 test rows",
        "languages: pt 50%, en 50%",
    ]
    refuse_leaks(found)


def test_copies_are_counted_apart_from_near_copies() -> None:
    found = look([INTERNET, INTERNET, INTERNET, near(INTERNET), QUOTE])

    assert (found.copies, found.near_copies) == (2, 1)


def test_a_text_with_two_labels_is_one_contradiction_reported_with_its_lines() -> None:
    other = Row(INTERNET.text, "venda", where="train.jsonl:9")
    found = look([INTERNET, other, other, QUOTE])

    assert found.contradictions == [{"suporte": "train.jsonl:1", "venda": "train.jsonl:9"}]
    assert found.lines()[-1] == ("1 texts have more than one label: train.jsonl:1 suporte but train.jsonl:9 venda")


def test_a_report_line_shows_only_a_few_examples() -> None:
    texts = [(Row(f"{number}", "suporte", where=f"a:{number}"), Row(f"{number}", "venda")) for number in range(9)]

    assert look([row for pair in texts for row in pair]).lines()[-1].endswith("a:2 suporte but  venda; …")


@pytest.mark.parametrize("part", ["dev", "calibration", "test"])
def test_a_held_out_row_in_train_is_an_exact_leak_and_a_near_copy_a_near_one(part: str) -> None:
    found = look(TRAIN, **{part: [INVOICE, Row(INTERNET.text, "suporte", where="held:3"), near(QUOTE)]})

    assert found.lines()[-1] == (
        f"of 3 {part} rows, 1 are also in train and 1 nearly (held:3 is train.jsonl:1; near.jsonl:1 is train.jsonl:2)"
    )


def test_each_part_is_compared_separately() -> None:
    found = look(TRAIN, dev=[INTERNET, INVOICE], calibration=[near(QUOTE)], test=[INVOICE])

    assert {part: (leak.exact, leak.near) for part, leak in found.leaks.items()} == {
        "dev": (1, 0),
        "calibration": (0, 1),
        "test": (0, 0),
    }


def test_an_exact_leak_is_not_also_counted_as_a_near_one() -> None:
    found = look([INTERNET, near(INTERNET), QUOTE], test=[near(INTERNET)])

    assert (found.leaks["test"].exact, found.leaks["test"].near) == (1, 0)


def test_copies_within_the_test_rows_are_not_a_leak() -> None:
    refuse_leaks(look(TRAIN, test=[INVOICE, INVOICE, near(INVOICE)]))


@pytest.mark.parametrize("leak", [INTERNET, near(INTERNET)], ids=["letter by letter", "nearly"])
def test_a_leaked_test_set_is_refused_with_the_number_of_rows(leak: Row) -> None:
    with pytest.raises(InvalidInput, match=r"of 2 test rows, \d are also in train.*--allow-leakage"):
        refuse_leaks(look(TRAIN, test=[leak, INVOICE]))


def test_leaks_into_dev_and_calibration_are_reported_and_not_refused() -> None:
    refuse_leaks(look(TRAIN, dev=[INTERNET], calibration=[QUOTE], test=[INVOICE]))


def test_without_test_rows_nothing_is_refused() -> None:
    refuse_leaks(look(TRAIN))


def test_the_public_exercise_of_twenty_sentences_is_refused() -> None:
    """500 training and 100 test rows of the seed's format that hold 20 distinct sentences in all."""
    sentences = [Row(f"{INVOICE.text} de número {number * 7919}", "suporte") for number in range(20)]

    with pytest.raises(InvalidInput, match="of 100 test rows, 100 are also in train"):
        refuse_leaks(look(sentences * 25, test=sentences * 5))
