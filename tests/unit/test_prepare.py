"""A data folder is prepared for training with regard to the rows that the registry's versions saw."""

from pathlib import Path

import pytest

from tests.support.builders import manifest
from tests.support.rows import balanced_rows, jsonl
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import ROWS_FILE
from triagem.registry import Registry
from triagem.trainer import TrainSettings
from triagem.trainer.data import Row
from triagem.trainer.prepare import PreparedData, prepare


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def write(path: Path, rows: list[Row]) -> None:
    path.write_text(jsonl(*((row.text, row.label) for row in rows)), encoding="utf-8")


def register(registry: Registry, prepared: PreparedData) -> None:
    """Register a version with these rows."""
    with registry.staging() as folder:
        (folder / ROWS_FILE).write_text(prepared.parts.digests().model_dump_json(), encoding="utf-8")
        registry.register(folder, manifest())


def test_the_next_version_is_tested_on_what_the_first_was_tested_on(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    first = prepare(tmp_path, registry, TrainSettings())
    register(registry, first)

    second = prepare(tmp_path, registry, TrainSettings(seed=7))

    assert second.parts.test == first.parts.test
    assert second.parts.dev != first.parts.dev


def test_what_the_parent_learned_is_not_held_out(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    register(registry, first := prepare(tmp_path, registry, TrainSettings()))
    write(tmp_path / "train.jsonl", balanced_rows(50) + balanced_rows(20, 50))

    second = prepare(tmp_path, registry, TrainSettings(seed=7), parent="v1.0.0")

    assert second.parts.dev
    assert set(second.parts.dev).isdisjoint(first.parts.train)


def test_the_notes_say_what_the_rows_are_and_how_they_are_split(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))

    notes = prepare(tmp_path, registry, TrainSettings()).notes

    assert notes[0].startswith("100 training rows (suporte 50%, venda 50%)")
    assert notes[-1] == "split off train: 20 test rows, 10 dev rows"


def test_a_leaked_test_is_refused_unless_it_is_allowed(tmp_path: Path, registry: Registry) -> None:
    write(tmp_path / "train.jsonl", balanced_rows(50))
    write(tmp_path / "test.jsonl", balanced_rows(5))

    with pytest.raises(InvalidInput, match="of 10 test rows, 10 are also in train"):
        prepare(tmp_path, registry, TrainSettings())
    assert len(prepare(tmp_path, registry, TrainSettings(), allow_leakage=True).parts.test) == 10
