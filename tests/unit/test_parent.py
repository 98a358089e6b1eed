"""A version inherits its parent's order of labels, and the texts that count as seen."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import manifest
from triagem.contracts.errors import InvalidInput, ModelCorrupt
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.contracts.text import digest
from triagem.registry import Registry
from triagem.trainer.data.prepare import merge_labels, read_parent


def version(registry: Registry, learned: str, parent: str | None = None, **changes: Any) -> str:
    """Register a version that was trained on one text."""
    rows = SplitDigests(train=(digest(learned).hex(),), dev=(), calibration=(), test=(digest("of the test").hex(),))
    with registry.staging() as folder:
        (folder / ROWS_FILE).write_text(rows.model_dump_json(), encoding="utf-8")
        return registry.register(folder, manifest(parent=parent, labels=("venda", "suporte"), **changes)).version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def test_the_training_texts_of_all_ancestors_count_as_learned_but_not_their_test_texts(registry: Registry) -> None:
    child = read_parent(registry, version(registry, "newer", parent=version(registry, "older")))

    assert child.has_learned("newer")
    assert child.has_learned("older")
    assert not child.has_learned("of the test")


def test_a_version_whose_files_changed_cannot_be_a_parent(registry: Registry) -> None:
    name = version(registry, "text")
    (registry.root / name / ROWS_FILE).write_text("{}", encoding="utf-8")

    with pytest.raises(ModelCorrupt):
        read_parent(registry, name)


def test_a_version_with_only_a_trained_head_cannot_be_a_parent(registry: Registry) -> None:
    name = version(registry, "text", pooling="mean", base="e5")

    with pytest.raises(InvalidInput, match="--base e5"):
        read_parent(registry, name)


def test_known_labels_keep_their_order_and_new_ones_follow(registry: Registry) -> None:
    parent = read_parent(registry, version(registry, "text"))

    assert merge_labels(parent, ["suporte", "outra", "venda", "cobranca"]) == (
        "venda",
        "suporte",
        "outra",
        "cobranca",
    )
    assert merge_labels(None, ["suporte", "venda"]) == ("suporte", "venda")


def test_a_label_that_the_data_lack_is_refused(registry: Registry) -> None:
    parent = read_parent(registry, version(registry, "text"))

    with pytest.raises(InvalidInput, match=r"no training row has the label venda, which v1\.0\.0 knows"):
        merge_labels(parent, ["suporte", "cobranca"])
