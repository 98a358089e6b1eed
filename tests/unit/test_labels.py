"""Labels come from the rows or are declared; a slip of the pen becomes an error, never one label more."""

from pathlib import Path

import pytest

from tests.support.rows import SMALL_ROWS, jsonl
from triagem.contracts.errors import InvalidInput
from triagem.trainer import TrainSettings
from triagem.trainer.data import Corpus, load

BILLS = [("segunda via do boleto", "cobranca"), ("quero parcelar a dívida", "cobranca")]


def corpus(folder: Path, rows: list[tuple[str, str]], *labels: str) -> Corpus:
    """Write the training rows and load them with these labels declared."""
    (folder / "train.jsonl").write_text(jsonl(*rows), encoding="utf-8")
    return load(folder, labels)


def test_a_third_label_needs_its_rows_and_nothing_else(tmp_path: Path) -> None:
    assert corpus(tmp_path, SMALL_ROWS + BILLS).labels == ("cobranca", "suporte", "venda")


def test_declared_labels_keep_their_order(tmp_path: Path) -> None:
    assert corpus(tmp_path, SMALL_ROWS + BILLS, "venda", "suporte", "cobranca").labels == (
        "venda",
        "suporte",
        "cobranca",
    )


def test_a_label_that_is_not_declared_is_named_with_its_line_and_the_nearest_one(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, ("x", "suport")]

    with pytest.raises(
        InvalidInput, match=r"train\.jsonl:5: 'suport' is not .*suporte, venda; did you mean 'suporte'\?$"
    ):
        corpus(tmp_path, rows, "suporte", "venda")


def test_the_nearest_label_is_found_in_another_case_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'SUPORTE'\?"):
        corpus(tmp_path, SMALL_ROWS, "SUPORTE", "VENDA")


def test_a_label_unlike_all_others_gets_no_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.jsonl:5: 'cobranca' is not .* suporte, venda$"):
        corpus(tmp_path, SMALL_ROWS + BILLS, "suporte", "venda")


@pytest.mark.parametrize("part", ["dev", "calibration", "test"])
def test_a_held_out_row_of_an_unknown_label_is_named_too(tmp_path: Path, part: str) -> None:
    (tmp_path / f"{part}.jsonl").write_text(jsonl(SMALL_ROWS[0], ("x", "Venda")), encoding="utf-8")

    with pytest.raises(InvalidInput, match=rf"{part}\.jsonl:2: 'Venda' .*did you mean 'venda'\?"):
        corpus(tmp_path, SMALL_ROWS)


def test_a_label_of_a_single_row_may_be_a_typo(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"train\.jsonl:5: the only row with the label 'VENDA'.*did you mean 'venda'\?"
    ):
        corpus(tmp_path, [*SMALL_ROWS, ("x", "VENDA")])


def test_a_declared_label_needs_rows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.jsonl: no row has the label 'cobranca', at least two are needed"):
        corpus(tmp_path, SMALL_ROWS, "suporte", "venda", "cobranca")


@pytest.mark.parametrize("labels", [("venda",), ("venda", "venda"), ("suporte", "venda", " ")])
def test_single_repeated_or_blank_labels_are_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="expected at least two different labels, for example suporte,venda"):
        corpus(tmp_path, SMALL_ROWS, *labels)


def test_a_label_is_the_same_however_its_accents_are_composed(tmp_path: Path) -> None:
    rows = [*SMALL_ROWS, ("boleto", "cobran\u00e7a"), ("fatura", "cobranc\u0327a ")]

    assert corpus(tmp_path, rows).labels == ("cobran\u00e7a", "suporte", "venda")


def test_the_environment_declares_labels_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_TRAIN_LABELS", "suporte,venda,cobranca")

    assert TrainSettings().labels == ("suporte", "venda", "cobranca")
