"""`triagem train --check`: a report on the data, without training."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command import Triagem
from tests.support.rows import balanced_rows
from triagem.cli.training_check import _describe
from triagem.trainer.bases.catalogue import installed_bases
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.baseline import LabelError


def write(path: Path, rows: list[Row]) -> None:
    lines = [json.dumps({"prompt": row.text, "completion": row.label}) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (folder := tmp_path / "data").mkdir()
    write(folder / "train.jsonl", balanced_rows(50))
    return folder


def test_it_shows_the_parts_by_label_and_the_notes(bare: Triagem, data: Path) -> None:
    status, out, _ = bare("train", "data", "--check")

    assert status == 0
    assert "100 training rows (suporte 50%, venda 50%)" in out
    assert "no calibration part is split off" in out
    table = [line.split() for line in out.splitlines() if line.startswith(("part", "train", "dev", "cal", "test"))]
    assert table == [
        ["part", "suporte", "venda", "rows", "texts"],
        ["train", "35", "35", "70", "70"],
        ["dev", "5", "5", "10", "10"],
        ["calibration", "0", "0", "0", "0"],
        ["test", "10", "10", "20", "20"],
    ]


def test_it_trains_and_writes_nothing(bare: Triagem, data: Path, tmp_path: Path) -> None:
    bare("train", "data", "--check")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_same_report_is_available_as_json(bare: Triagem, data: Path) -> None:
    write(data / "test.jsonl", balanced_rows(5, 30))

    report = json.loads(bare("train", "data", "--check", "--json").out)

    assert report["labels"] == ["suporte", "venda"]
    assert report["parts"]["test"] == {"suporte": 5, "venda": 5}
    assert report["audit"]["leaks"]["test"] == {"rows": 10, "texts": 10, "exact": 0, "near": 0, "places": []}
    assert report["rejected"] is None


def test_a_probable_label_error_is_named(bare: Triagem, data: Path) -> None:
    write(data / "test.jsonl", balanced_rows(5, 50))
    write(
        data / "train.jsonl",
        [Row(balanced_rows(50)[7].text, "venda"), *balanced_rows(50)[:7], *balanced_rows(50)[8:]],
    )

    out = bare("train", "data", "--check", "--suspects", "suspects.csv").out
    report = json.loads(bare("train", "data", "--check", "--json").out)

    text, written = balanced_rows(50)[7].text, data.parent / "suspects.csv"
    assert re.search(rf"data/train.jsonl:1 venda, probably suporte \(\d+%\): {text}", out)
    assert report["label_errors"][0] | {"confidence": 1} == {
        "where": "data/train.jsonl:1", "label": "venda", "suggested_label": "suporte", "confidence": 1, "text": text,
    }  # fmt: skip
    assert len(written.read_text(encoding="utf-8-sig").splitlines()) == 1 + len(report["label_errors"])
    assert (written.stat().st_mode & 0o777) == 0o600
    assert bare("train", "data", "--suspects", "suspects.csv").status == 2


def test_an_empty_file_of_suspects_is_named() -> None:
    assert [*_describe([], 1000, Path("s.csv"))] == ["no label looks wrong: s.csv has no rows"]
    assert not [*_describe([], 1000, None)]


def test_copies_of_a_suspect_are_shown_once() -> None:
    suspects = [LabelError(f"train.csv:{line}", "venda", "suporte", 0.9, f"text {line % 2}") for line in range(2, 8)]

    assert [line.split()[0] for line in _describe(suspects, 1000, None)] == ["6", "train.csv:2", "train.csv:3"]


@pytest.mark.parametrize(("texts", "unreliable"), [(199, True), (200, False)])
def test_a_list_of_suspects_from_few_texts_is_called_unreliable(texts: int, unreliable: bool) -> None:
    first, *_ = _describe([LabelError("train.csv:2", "venda", "suporte", 0.9, "text")], texts, None)

    assert ("with only 199 different texts, many of these labels are right" in first) is unreliable


def test_the_label_column_is_given_once(bare: Triagem, data: Path) -> None:
    refused = bare("train", "data", "--label-column", "Fila", "--map", "prompt=Texto, completion=Corpo", "--check")

    assert refused.status == 2
    assert "--label-column and completion= of --map name the same column" in refused.err


@pytest.mark.parametrize(
    ("rows", "suspects", "problem"),
    [
        ("data", "none/suspects.csv", "there is no folder none"),
        ("data", ".", "is a folder"),
        ("data", "data/suspects.csv", "is for the rows to check"),
        ("data/train.jsonl", "data/../data/train.jsonl", "is for the rows to check"),
        ("data", "other.csv", "exists and is not a list of suspects"),
    ],
)
def test_a_suspects_file_that_would_replace_other_data_is_refused_before_the_check(
    bare: Triagem, data: Path, rows: str, suspects: str, problem: str
) -> None:
    (data.parent / "other.csv").write_text("texto,categoria\n")
    before = {path: path.read_bytes() for path in data.parent.rglob("*.*")}

    refused = bare("train", rows, "--check", "--suspects", suspects)

    assert (refused.status, refused.out) == (2, "")
    assert problem in " ".join(refused.err.split())
    assert {path: path.read_bytes() for path in data.parent.rglob("*.*")} == before


def test_a_list_of_suspects_is_replaced_by_the_next_check(bare: Triagem, data: Path) -> None:
    for _ in range(2):
        assert bare("train", "data", "--check", "--suspects", "suspects.csv").status == 0


def test_a_check_is_not_queued(bare: Triagem, data: Path) -> None:
    refused = bare("train", "data", "--check", "--queue")

    assert (refused.status, refused.out) == (2, "")
    assert "--queue cannot be combined with --check" in refused.err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_leaked_test_rows_are_named_once_in_the_refusal(bare: Triagem, data: Path, options: list[str]) -> None:
    write(data / "test.jsonl", balanced_rows(2))

    status, out, err = bare("train", "data", "--check", *options)

    assert status == 1
    assert ("of 4 test rows, 4 are also in train" in out) is ("--json" in options)
    assert err.count("of 4 test rows, 4 are also in train") == 1
    assert bare("train", "data", "--check", "--allow-leakage", *options).status == 0


@pytest.mark.parametrize("options", [[], ["--check"]])
@pytest.mark.parametrize("refusal", ["of 4 test rows, 4 are also in train", "too few different texts"])
def test_the_audit_is_printed_once_before_a_refusal(
    bare: Triagem, data: Path, refusal: str, options: list[str]
) -> None:
    write(data / "train.jsonl", balanced_rows(1) * 15)
    if "test rows" in refusal:
        write(data / "test.jsonl", balanced_rows(1) * 2)

    status, out, err = bare("train", "data", *options)

    assert status == 1
    assert (out + err).count("30 training rows (2 different texts; suporte 50%, venda 50%)") == 1
    assert (out + err).count("28 exactly, 0 nearly") == 1
    assert (out + err).count(refusal) == 1


@pytest.mark.parametrize("options", [[], ["--check"]])
@pytest.mark.parametrize("in_settings", [False, True])
def test_an_unavailable_base_is_refused_before_the_rows_are_read(
    bare: Triagem, data: Path, options: list[str], in_settings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_settings:
        monkeypatch.setenv("TRIAGEM_TRAIN_BASE", "no/such-model")
    status, out, err = bare("train", "data", *([] if in_settings else ["--base", "no/such-model"]), *options)

    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert "the base model 'no/such-model' cannot be loaded" in err
    assert err.endswith(f", or one of {', '.join(installed_bases())}\n")


def test_a_base_without_its_folder_is_not_looked_for_on_a_hub(bare: Triagem, data: Path) -> None:
    assert "cannot be loaded (there is no such folder)" in bare("train", "data", "--base", "./none").err


def test_unreadable_data_is_a_one_line_error(bare: Triagem, data: Path) -> None:
    status, out, err = bare("train", "data", "--check", "--labels", "suporte,vendas")

    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert "data/train.jsonl:51: 'venda' is not one of the labels suporte, vendas; did you mean 'vendas'?" in err


@pytest.mark.parametrize(("folds", "held_out"), [("3", {}), ("0", {"suporte": 60, "venda": 60})])
def test_calibration_rows_are_held_out_only_without_folds(
    bare: Triagem, data: Path, folds: str, held_out: dict[str, int]
) -> None:
    write(data / "train.jsonl", balanced_rows(600))

    report = json.loads(bare("train", "data", "--check", "--folds", folds, "--json").out)

    assert report["parts"]["calibration"] == held_out
