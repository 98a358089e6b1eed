"""Labels come from the rows or are declared; a typo is an error and never creates a label."""

from pathlib import Path

import pytest

from tests.support.rows import SMALL_ROWS, jsonl
from triagem.contracts.errors import InvalidInput
from triagem.contracts.label_spelling import folded_label
from triagem.trainer import TrainSettings
from triagem.trainer.data.rows import Corpus, load

BILLING_ROWS = [("segunda via do boleto", "cobranca"), ("quero parcelar a dívida", "cobranca")]


def load_corpus(folder: Path, rows: list[tuple[str, str]], *labels: str) -> Corpus:
    """Write the training rows and load them with these labels declared."""
    (folder / "train.jsonl").write_text(jsonl(*rows), encoding="utf-8")
    return load(folder, labels)


def test_a_third_label_needs_its_rows_and_nothing_else(tmp_path: Path) -> None:
    assert load_corpus(tmp_path, SMALL_ROWS + BILLING_ROWS).labels == ("cobranca", "suporte", "venda")


def test_declared_labels_keep_their_order(tmp_path: Path) -> None:
    assert load_corpus(tmp_path, SMALL_ROWS + BILLING_ROWS, "venda", "suporte", "cobranca").labels == (
        "venda",
        "suporte",
        "cobranca",
    )


def test_a_label_that_is_not_declared_is_named_with_its_line_and_the_nearest_one(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, ("x", "suport")]

    with pytest.raises(
        InvalidInput, match=r"train\.jsonl:5: 'suport' is not .*suporte, venda; did you mean 'suporte'\?$"
    ):
        load_corpus(tmp_path, rows, "suporte", "venda")


@pytest.mark.parametrize("spelling", ["Suporte", " suporte ", "SUPORTE", "supórte", "supor\u200bte", '"suporte"'])
def test_case_accents_spaces_quotes_and_invisible_characters_do_not_make_a_label(
    tmp_path: Path, spelling: str
) -> None:
    corpus = load_corpus(tmp_path, [*SMALL_ROWS, ("x", spelling), ("y", spelling)])

    assert corpus.labels == ("suporte", "venda")
    assert [row.label for row in corpus.train[-2:]] == ["suporte", "suporte"]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("suporte técnico", "suporte-tecnico", True),
        ("suporte técnico", "Suporte_Técnico", True),
        ("pós-venda", "pos venda", True),
        ("A", "A-", False),
        ("+", "-", False),
        ("1-2", "1 2", False),
        ("a/b", "ab", False),
    ],
)
def test_hyphens_between_words_are_spaces_in_a_label(left: str, right: str, *, same: bool) -> None:
    assert (folded_label(left) == folded_label(right)) is same


def test_other_spellings_of_a_label_are_reported_in_one_line(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, ("x", "Suporte"), ("y", "suporte "), ("z", "Suporte"), ("w", "suporte")]

    assert load_corpus(tmp_path, rows).notes == ("'suporte' is also written 'Suporte' (2 rows), 'suporte ' (1 row)",)
    assert load_corpus(tmp_path, SMALL_ROWS).notes == ()


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ({"Suporte": 2, "supórte": 2}, "Suporte"),
        ({"suporte": 2, "supórte": 2, "Suporte": 2}, "suporte"),
        ({"SUPORTE": 2, "suporte": 2}, "suporte"),
        ({"suporte": 2, "Suporte": 3}, "Suporte"),
    ],
)
def test_a_new_label_is_spelled_as_in_most_rows_and_plainly_if_they_are_equally_many(
    tmp_path: Path, written: dict[str, int], label: str
) -> None:
    names = [name for name, number in written.items() for _ in range(number)]
    rows = [(f"texto {index}", name) for index, name in enumerate(names)]

    assert load_corpus(tmp_path, [*rows, ("x", "venda"), ("y", "venda")]).labels == tuple(sorted([label, "venda"]))


def test_a_label_is_spelled_as_declared_or_as_the_starting_version_does(tmp_path: Path) -> None:
    assert load_corpus(tmp_path, SMALL_ROWS, "SUPORTE", "VENDA").labels == ("SUPORTE", "VENDA")
    assert load(tmp_path, known_labels=("Venda", "Suporte")).labels == ("Suporte", "Venda")


def test_a_rare_label_close_to_a_frequent_one_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, *((f"preço {index}", "venda") for index in range(60)), ("a", "vendas"), ("b", "vendas")]

    with pytest.raises(
        InvalidInput,
        match=r"train\.jsonl:65: 'vendas' \(2 rows\) looks like 'venda' \(62 rows\): correct it, or declare .*"
        r"--labels suporte,venda,vendas$",
    ):
        load_corpus(tmp_path, rows)
    assert load_corpus(tmp_path, rows, "suporte", "venda", "vendas").labels == ("suporte", "venda", "vendas")
    assert load(tmp_path, known_labels=("suporte", "venda", "vendas")).labels == ("suporte", "venda", "vendas")


@pytest.mark.parametrize("label", ["cobranca", "v2"])
def test_a_rare_label_unlike_the_frequent_ones_is_a_label(tmp_path: Path, label: str) -> None:
    rows = [*SMALL_ROWS, *((f"preço {index}", "venda") for index in range(60)), ("a", label), ("b", label)]
    rows += [("c", "v1")] * 60

    assert label in load_corpus(tmp_path, rows).labels


def test_a_close_label_that_is_not_rare_is_a_label(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, *((f"preço {index}", "venda") for index in range(20)), ("a", "vendas"), ("b", "vendas")]

    assert load_corpus(tmp_path, rows).labels == ("suporte", "venda", "vendas")


def test_a_label_unlike_all_others_gets_no_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.jsonl:5: 'cobranca' is not .* suporte, venda$"):
        load_corpus(tmp_path, SMALL_ROWS + BILLING_ROWS, "suporte", "venda")


@pytest.mark.parametrize("part", ["dev", "calibration", "test"])
def test_a_held_out_row_of_an_unknown_label_is_named_too(tmp_path: Path, part: str) -> None:
    (tmp_path / f"{part}.jsonl").write_text(jsonl(SMALL_ROWS[0], ("x", "Vendas")), encoding="utf-8")

    with pytest.raises(InvalidInput, match=rf"{part}\.jsonl:2: 'Vendas' .*did you mean 'venda'\?"):
        load_corpus(tmp_path, SMALL_ROWS)


def test_a_label_of_a_single_row_may_be_a_typo(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"train\.jsonl:5: the only row with the label 'VENDAS'.*did you mean 'venda'\?"
    ):
        load_corpus(tmp_path, [*SMALL_ROWS, ("x", "VENDAS")])


def test_all_labels_of_a_single_row_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r":5: the only row with the label 'rh', .*:6: the only .* 'imprensa', "):
        load_corpus(tmp_path, [*SMALL_ROWS, ("x", "rh"), ("y", "imprensa")])


def test_a_declared_label_needs_rows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.jsonl: no row has the label 'cobranca', at least two are needed"):
        load_corpus(tmp_path, SMALL_ROWS, "suporte", "venda", "cobranca")


@pytest.mark.parametrize("labels", [("venda",), ("venda", "Venda"), ("suporte", "venda", " ")])
def test_single_repeated_or_blank_labels_are_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="expected at least two different labels, for example suporte,venda"):
        load_corpus(tmp_path, SMALL_ROWS, *labels)


def test_a_label_is_the_same_however_its_accents_are_composed(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, ("boleto", "cobran\u00e7a"), ("fatura", "cobranc\u0327a ")]

    assert load_corpus(tmp_path, rows).labels == ("cobran\u00e7a", "suporte", "venda")


def test_the_environment_declares_labels_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_TRAIN_LABELS", "suporte,venda,cobranca")

    assert TrainSettings().labels == ("suporte", "venda", "cobranca")
