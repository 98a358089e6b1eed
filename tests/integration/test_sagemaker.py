"""deploy/sagemaker: a packed version, unpacked elsewhere, gives the engine's predictions through its handler."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.manifests import ROOT
from triagem.contracts.errors import ModelCorrupt
from triagem.engine import predict_batch
from triagem.ops.backup import unpack
from triagem.registry import Registry

TEXTS = ["minha internet caiu", "Quero um orçamento para vinte licenças", "<p>segunda via</p>"]


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


pack: Any = load_module(ROOT / "deploy" / "sagemaker" / "pack.py").pack


@pytest.fixture(scope="module", params=["bert_models", "unigram_models", "mean_models"])
def models(request: pytest.FixtureRequest) -> Path:
    """A registry with WordPiece, one with SentencePiece's unigram model, and one that classifies the tokens' mean."""
    registry: Path = request.getfixturevalue(request.param)
    return registry


@pytest.fixture(scope="module")
def unpacked(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sagemaker")
    wheel = folder / "triagem-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"any")
    pack(Registry(models), "v1.0.0", wheel, folder / "model.tar.gz")
    unpack(folder / "model.tar.gz", folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def handler(unpacked: Path) -> ModuleType:
    return load_module(unpacked / "code" / "inference.py")


def invoke(handler: ModuleType, model: object, body: object) -> Any:
    """The four calls of a request, as the container makes them."""
    texts = handler.input_fn(json.dumps(body).encode(), "application/json")
    return json.loads(handler.output_fn(handler.predict_fn(texts, model), "application/json"))


def test_the_archive_has_the_version_at_its_root_and_the_code_where_the_container_looks(unpacked: Path) -> None:
    assert (unpacked / "manifest.json").is_file()
    assert {path.name for path in (unpacked / "code").iterdir()} == {
        "inference.py",
        "requirements.txt",
        "triagem-0.1.0-py3-none-any.whl",
    }
    assert (unpacked / "code" / "requirements.txt").read_text(encoding="utf-8") == (
        "triagem[engine] @ file:///opt/ml/model/code/triagem-0.1.0-py3-none-any.whl\n"
    )


def test_the_handler_gives_the_engines_predictions(handler: ModuleType, unpacked: Path, models: Path) -> None:
    model = handler.model_fn(str(unpacked))
    assert invoke(handler, model, {"inputs": TEXTS}) == predict_batch(TEXTS, model=models / "v1.0.0")
    assert invoke(handler, model, {"inputs": TEXTS[0]}) == predict_batch(TEXTS[:1], model=models / "v1.0.0")


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"inputs": []}', b'{"inputs": [1]}', b'{"inputs": " "}', b"no json"]
)
def test_an_invalid_request_is_a_value_error(handler: ModuleType, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        handler.input_fn(body, "application/json")


def test_other_content_types_are_refused(handler: ModuleType) -> None:
    with pytest.raises(ValueError, match="text/csv"):
        handler.input_fn(b'{"inputs": "x"}', "text/csv")
    with pytest.raises(ValueError, match="text/csv"):
        handler.output_fn([], "text/csv")
    assert handler.output_fn([], "text/html, */*;q=0.8") == "[]"


def test_a_version_whose_files_changed_is_not_packed(bert_models: Path, tmp_path: Path) -> None:
    shutil.copytree(bert_models, tmp_path / "models")
    with (tmp_path / "models" / "v1.0.0" / "config.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(ModelCorrupt, match=r"config\.json"):
        pack(Registry(tmp_path / "models"), "v1.0.0", tmp_path / "any.whl", tmp_path / "model.tar.gz")
    assert not (tmp_path / "model.tar.gz").exists()
