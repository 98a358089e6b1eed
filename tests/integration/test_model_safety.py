"""A model folder is data: no code in it runs, no file outside it is read, and changed files are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triagem.contracts.errors import InvalidInput, ModelCorrupt
from triagem.contracts.model import CURRENT_FILE, MANIFEST_FILE, file_digest
from triagem.engine.classify import load
from triagem.registry import Registry

Change = Callable[[Path], None]

CODE = """
from pathlib import Path
Path(__file__).with_name("it-ran").touch()
from transformers import BertForSequenceClassification as Mine, BertConfig as MyConfig, BertTokenizerFast as MyWords
"""


@pytest.fixture
def registry(bert_models: Path, tmp_path: Path) -> Registry:
    """A copy of the registry with the small BERT, for tampering."""
    shutil.copytree(bert_models, tmp_path / "models")
    return Registry(tmp_path / "models")


@pytest.fixture
def folder(registry: Registry) -> Path:
    """The folder of its only version."""
    return registry.folder("v1.0.0")


def edit(file: Path, **changes: Any) -> None:
    """Changes fields of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def sign(folder: Path) -> None:
    """Updates the manifest to the folder's files, as anyone with write access to the registry could."""
    names = [path.name for path in folder.iterdir() if path.name != MANIFEST_FILE]
    edit(folder / MANIFEST_FILE, files={name: file_digest(folder / name) for name in names})


def assert_refused(registry: Registry, message: str) -> None:
    """Asserts that the registry does not promote it and the engine does not load it."""
    with pytest.raises(ModelCorrupt, match=message):
        registry.promote("v1.0.0")
    with pytest.raises(ModelCorrupt, match=message):
        load(registry.folder("v1.0.0"))


def test_pickled_weights_are_refused(folder: Path) -> None:
    import torch

    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    sign(folder)

    with pytest.raises(ModelCorrupt, match="not a classifier that transformers can load"):
        load(folder)


def test_a_pickle_named_safetensors_is_refused(folder: Path) -> None:
    import torch

    torch.save({}, folder / "model.safetensors")
    sign(folder)

    with pytest.raises(ModelCorrupt, match="not a classifier that transformers can load"):
        load(folder)


def test_a_changed_file_is_refused(registry: Registry, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")

    assert_refused(registry, "model.safetensors changed")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_config.json", "mine.py", "added_tokens.json"])
def test_a_file_that_the_manifest_does_not_list_is_refused(registry: Registry, folder: Path, name: str) -> None:
    (folder / name).write_text("{}")

    assert_refused(registry, f"{name} changed")


def test_a_hidden_system_file_is_ignored(registry: Registry, folder: Path) -> None:
    (folder / ".DS_Store").touch()

    registry.promote("v1.0.0")


def test_code_next_to_a_model_is_not_run(folder: Path) -> None:
    (folder / "mine.py").write_text(CODE)
    auto = {"AutoConfig": "mine.MyConfig", "AutoModelForSequenceClassification": "mine.Mine"}
    edit(folder / "config.json", auto_map=auto)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.MyWords", "mine.MyWords"]})
    sign(folder)

    load(folder)
    assert not (folder / "it-ran").exists()


def test_code_next_to_a_model_of_an_unknown_type_is_not_run(folder: Path) -> None:
    (folder / "mine.py").write_text(CODE)
    edit(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.MyConfig"})
    sign(folder)

    with pytest.raises(ModelCorrupt):
        load(folder)
    assert not (folder / "it-ran").exists()


def test_a_remote_attention_kernel_in_the_config_is_not_fetched(folder: Path) -> None:
    edit(folder / "config.json", attn_implementation="somebody/kernel", _attn_implementation="somebody/kernel")
    sign(folder)

    assert load(folder).runner.packed


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", "deep/er", "..\\outside", ""])
def test_a_manifest_that_names_a_path_is_refused(registry: Registry, folder: Path, name: str) -> None:
    edit(folder / MANIFEST_FILE, files={name: "0" * 64})

    assert_refused(registry, "cannot be read")


def test_a_link_out_of_the_folder_is_refused(registry: Registry, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)

    assert_refused(registry, "model.safetensors changed")


def test_a_link_within_the_folder_is_allowed(registry: Registry, folder: Path) -> None:
    """Kubernetes mounts volumes with such links."""
    (folder / "..data").mkdir()
    (folder / "config.json").rename(folder / "..data" / "config.json")
    (folder / "config.json").symlink_to("..data/config.json")

    registry.promote("v1.0.0")
    load(folder)


@pytest.mark.parametrize("version", ["../models/v1.0.0", "v1.0.0/../v1.0.0", "/v1.0.0", "v1.0.0\n", "v1.0", ""])
def test_a_version_is_a_name_and_never_a_path(registry: Registry, version: str) -> None:
    (registry.root / CURRENT_FILE).write_text(json.dumps({"version": version, "epoch": 1}))

    with pytest.raises(ModelCorrupt):
        registry.current()
    with pytest.raises(InvalidInput):
        registry.folder(version)
