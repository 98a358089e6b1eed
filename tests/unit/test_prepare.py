"""Preparation of a data folder for training, given the rows that the registry's versions saw."""

from pathlib import Path

import pytest

from tests.support.builders import manifest
from tests.support.rows import balanced_rows, jsonl, rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import ROWS_FILE
from triagem.registry import Registry
from triagem.trainer import TrainSettings
from triagem.trainer.data.prepare import PreparedData, prepare
from triagem.trainer.data.rows import Row
from triagem.trainer.data.split import split_digests


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def write(path: Path, rows: list[Row]) -> None:
    path.write_text(jsonl(*((row.text, row.label) for row in rows)), encoding="utf-8")


def register(registry: Registry, prepared: PreparedData, **changes: object) -> None:
    """Register a version with these rows."""
    with registry.staging() as folder:
        (folder / ROWS_FILE).write_text(split_digests(prepared.parts).model_dump_json(), encoding="utf-8")
        registry.register(folder, manifest(**changes))


def test_the_next_version_has_the_same_test_rows(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    first = prepare(tmp_path, registry, TrainSettings())
    register(registry, first)

    second = prepare(tmp_path, registry, TrainSettings(seed=7))

    assert second.parts.test == first.parts.test
    assert second.parts.dev != first.parts.dev


def test_the_parents_training_rows_are_not_held_out(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    register(registry, first := prepare(tmp_path, registry, TrainSettings()))
    write(tmp_path / "train.jsonl", balanced_rows(50) + balanced_rows(20, 50))

    second = prepare(tmp_path, registry, TrainSettings(seed=7), parent="v1.0.0")

    assert second.parts.dev
    assert set(second.parts.dev).isdisjoint(first.parts.train)


def test_the_notes_describe_the_rows_and_their_split(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))

    notes = prepare(tmp_path, registry, TrainSettings()).notes

    assert notes[0].startswith("100 training rows (suporte 50%, venda 50%)")
    assert notes[-2:] == (
        "split off train: 20 test rows, 10 dev rows",
        "only 20 different test texts: they measure an accuracy of 90% to ±13 points",
    )


def test_other_spellings_of_a_label_come_first_in_the_notes(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", [*balanced_rows(50), *rows(20, "Suporte", seed=9)])

    prepared = prepare(tmp_path, registry, TrainSettings())

    assert prepared.notes[0] == "'suporte' is also written 'Suporte' (20 rows)"
    assert prepared.parts.labels == ("suporte", "venda")


@pytest.mark.parametrize("parent", ["v1.0.0", None])
def test_the_spelling_of_the_parent_or_the_current_version_is_kept(
    tmp_path: Path, registry: Registry, parent: str | None
) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    register(registry, prepare(tmp_path, registry, TrainSettings()))
    registry.promote("v1.0.0")
    write(tmp_path / "train.jsonl", [*rows(60, "Suporte", seed=20), *rows(60, "VENDA", seed=21)])

    assert prepare(tmp_path, registry, TrainSettings(), parent=parent).parts.labels == ("suporte", "venda")


def test_the_data_info_counts_the_rows_given_and_their_different_texts(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(10) * 25)
    write(tmp_path / "test.jsonl", balanced_rows(5, 30) * 10)

    info = prepare(tmp_path, registry, TrainSettings()).info

    assert (info.rows, info.texts, info.given, info.given_texts, info.leaked) == (500, 20, 600, 30, 0)


def test_a_version_whose_test_leaked_fixes_no_test_rows(tmp_path: Path, registry: Registry) -> None:
    """Otherwise all sentences would be test rows of that version: no row could be trained on or held out again."""
    write(tmp_path / "train.jsonl", balanced_rows(10) * 25)
    write(tmp_path / "test.jsonl", balanced_rows(10) * 5)
    leaked = prepare(tmp_path, registry, TrainSettings(), allow_leakage=True)
    register(registry, leaked, data=leaked.info)

    parts = prepare(tmp_path / "train.jsonl", registry, TrainSettings()).parts

    assert leaked.info.leaked == 100
    assert (len(parts.train), len(parts.test)) == (400, 100)


def test_a_leaked_test_is_refused_unless_it_is_allowed(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    write(tmp_path / "test.jsonl", balanced_rows(5))

    with pytest.raises(InvalidInput, match="of 10 test rows, 10 are also in train"):
        prepare(tmp_path, registry, TrainSettings())
    assert len(prepare(tmp_path, registry, TrainSettings(), allow_leakage=True).parts.test) == 10
