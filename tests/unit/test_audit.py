"""The data audit finds copies, contradictions and leaks before training."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.rows import texts
from triagem.contracts.errors import InvalidInput
from triagem.contracts.portuguese import in_portuguese
from triagem.trainer.data.audit import Audit, audit, refuse_leaks
from triagem.trainer.data.rows import Corpus, Row

INTERNET = Row("minha internet caiu de novo e não volta desde ontem", "suporte", "pt", "train.jsonl:1")
QUOTE = Row("we need a quote for twenty more licences by Friday", "venda", "en", "train.jsonl:2")
INVOICE = Row("a fatura deste mês veio com o valor em dobro", "suporte", "pt", "test.jsonl:7")
TRAIN = (INTERNET, QUOTE)
MORE = (*TRAIN, Row("gostaria de contratar o plano anual para a minha empresa", "venda", "pt", "train.jsonl:3"))


def near_copy(row: Row) -> Row:
    return Row(row.text + "!", row.label, row.lang, "near.jsonl:1")


def audit_rows(train: Sequence[Row], **held_out: Any) -> Audit:
    """The audit of these rows; a part that is not named has no file."""
    return audit(Corpus(("suporte", "venda"), tuple(train), **{part: tuple(rows) for part, rows in held_out.items()}))


def test_clean_rows_report_only_their_counts() -> None:
    result = audit_rows(TRAIN, dev=[INVOICE], test=[INVOICE])

    assert result.lines() == [
        "2 training rows (suporte 50%, venda 50%), 1 dev rows, 1 test rows",
        "languages: pt 50%, en 50%",
    ]
    refuse_leaks(result)


def test_copies_are_counted_apart_from_near_copies() -> None:
    result = audit_rows([INTERNET, INTERNET, INTERNET, near_copy(INTERNET), QUOTE])

    assert (result.copies, result.near_copies) == (2, 1)


def test_rows_are_different_texts_copies_and_near_copies() -> None:
    """The middle text joins the other two, which are not similar enough themselves. Copies have one label."""
    words, others = " ".join(texts(3)).split(), " ".join(texts(3, seed=9)).split()
    chain = [" ".join(others[:changed] + words[changed:]) for changed in (0, 2, 1)]
    train = [Row(text, label) for label in ("suporte", "venda") for text in (*chain, chain[0])]
    result = audit_rows([*train, QUOTE])

    assert (result.rows, result.texts, result.copies, result.near_copies) == (9, 3, 2, 4)


def test_a_text_with_two_labels_is_one_contradiction_reported_with_its_lines() -> None:
    relabelled = Row(INTERNET.text, "venda", where="train.jsonl:9")
    result = audit_rows([INTERNET, relabelled, relabelled, QUOTE])

    assert result.contradictions == [{"suporte": "train.jsonl:1", "venda": "train.jsonl:9"}]
    assert result.lines()[-1] == (
        "copies or near-duplicates with different labels: 1 (train.jsonl:1 suporte but train.jsonl:9 venda)"
    )


def test_near_duplicates_with_two_labels_are_a_contradiction() -> None:
    relabelled = Row(INTERNET.text + "!", "venda", where="train.jsonl:9")

    assert audit_rows([INTERNET, relabelled, QUOTE]).contradictions == [
        {"suporte": "train.jsonl:1", "venda": "train.jsonl:9"}
    ]


def test_a_test_row_with_another_label_than_its_training_copy_is_a_contradiction() -> None:
    result = audit_rows(TRAIN, test=[Row(INTERNET.text, "venda", where="test.jsonl:4")])

    assert result.contradictions == [{"suporte": "train.jsonl:1", "venda": "test.jsonl:4"}]


def test_a_report_line_shows_only_a_few_examples() -> None:
    pairs = [(Row(text, "suporte", where=f"a:{number}"), Row(text, "venda")) for number, text in enumerate(texts(9))]

    assert audit_rows([row for pair in pairs for row in pair]).lines()[-1].endswith("a:2 suporte but  venda; …)")


@pytest.mark.parametrize("part", ["dev", "calibration", "test"])
def test_a_held_out_row_in_train_is_an_exact_leak_and_a_near_copy_a_near_one(part: str) -> None:
    result = audit_rows(TRAIN, **{part: [INVOICE, Row(INTERNET.text, "suporte", where="held:3"), near_copy(QUOTE)]})

    assert result.lines()[-1] == (
        f"of 3 {part} rows, 1 are also in train and 1 nearly (held:3 is train.jsonl:1; near.jsonl:1 is train.jsonl:2)"
    )


def test_each_part_is_compared_separately() -> None:
    result = audit_rows(TRAIN, dev=[INTERNET, INVOICE], calibration=[near_copy(QUOTE)], test=[INVOICE])

    assert {part: (leak.exact, leak.near) for part, leak in result.leaks.items()} == {
        "dev": (1, 0),
        "calibration": (0, 1),
        "test": (0, 0),
    }


def test_an_exact_leak_is_not_also_counted_as_a_near_one() -> None:
    result = audit_rows([INTERNET, near_copy(INTERNET), QUOTE], test=[near_copy(INTERNET)])

    assert (result.leaks["test"].exact, result.leaks["test"].near) == (1, 0)


def test_copies_within_the_test_rows_are_not_a_leak() -> None:
    refuse_leaks(audit_rows(TRAIN, test=[INVOICE, INVOICE, near_copy(INVOICE)]))


@pytest.mark.parametrize("leak", [INTERNET, near_copy(INTERNET)], ids=["letter by letter", "nearly"])
def test_a_leaked_test_set_is_refused_with_the_number_of_rows(leak: Row) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"(?s)of 2 test rows, \d are also in train.*1\. leave the test file out.*\d\. or add --allow-leakage",
    ):
        refuse_leaks(audit_rows(MORE, test=[leak, INVOICE]))


def test_the_refusal_of_a_leaked_test_set_has_its_steps_in_portuguese() -> None:
    with pytest.raises(InvalidInput) as some_leaked:
        refuse_leaks(audit_rows(MORE, test=[INTERNET, INVOICE]))
    with pytest.raises(InvalidInput) as all_leaked:
        refuse_leaks(audit_rows(MORE, test=list(MORE)))
    for refusal, last_step in ((some_leaked, "3"), (all_leaked, "2")):
        translated = (in_portuguese(str(refusal.value)) or "").splitlines()
        assert translated[0].endswith("mediria memorização. Próximos passos:")
        assert translated[1].startswith("  1. deixe de fora o arquivo de teste: `triagem train ")
        assert translated[-1].startswith(f"  {last_step}. ou acrescente --allow-leakage")
    assert "e o teste repete todos, então uma métrica" in (in_portuguese(str(all_leaked.value)) or "")


def test_leaks_into_dev_and_calibration_are_reported_and_not_refused() -> None:
    refuse_leaks(audit_rows(TRAIN, dev=[INTERNET], calibration=[QUOTE], test=[INVOICE]))


def test_without_test_rows_nothing_is_refused() -> None:
    refuse_leaks(audit_rows(TRAIN))


def test_a_public_data_set_of_twenty_sentences_is_refused() -> None:
    """500 training and 100 test rows in the original specification's format, with only 20 distinct sentences."""
    sentences = [Row(text, "suporte", "", "data/train.jsonl:1") for text in texts(20)]

    with pytest.raises(InvalidInput) as refused:
        refuse_leaks(audit_rows(sentences * 25, test=sentences * 5))

    message = str(refused.value)
    assert "of 100 test rows, 100 are also in train" in message
    assert "train has 20 different texts, and test repeats all of them" in message
    assert "leave the test file out: `triagem train data/train.jsonl`" in message
    assert "--allow-leakage" in message


def test_a_test_of_some_of_the_training_texts_says_how_many() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"(?s)train has 2 different texts, and test repeats 1 of them.*1\. add rows with other texts",
    ):
        refuse_leaks(audit_rows(TRAIN, test=[INTERNET, INTERNET]))


def test_a_test_that_leaks_in_part_can_be_repaired() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"(?s)1\. leave the test file out: `triagem train .*2\. or remove these rows from the test file",
    ):
        refuse_leaks(audit_rows(MORE, test=[INTERNET, INVOICE]))


def test_different_texts_are_counted_next_to_rows_where_they_are_fewer() -> None:
    result = audit_rows([INTERNET, INTERNET, near_copy(INTERNET), QUOTE], test=[INVOICE, INVOICE])

    assert (result.texts, result.leaks["test"].texts) == (2, 1)
    assert result.lines()[0] == (
        "4 training rows (2 different texts; suporte 75%, venda 25%), 2 test rows (1 different texts)"
    )
