"""Registers a BERT as a model version, with a seeded, untrained head: the small one that pip installs, or another."""

from pathlib import Path

from tests.support import packed_e5
from tests.support.builders import manifest
from triagem.contracts.model import Pooling
from triagem.registry import Registry
from triagem.trainer.bases import e5
from triagem.trainer.bases.catalogue import MINILM, find_base


def register_small_bert(root: Path, base: str = MINILM.name, pooling: Pooling = "first") -> Registry:
    """A new registry in `root` whose current v1.0.0 is the base."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    path = find_base(base).path
    torch.manual_seed(42)
    registry = Registry(root)
    with registry.staging() as folder:
        AutoModelForSequenceClassification.from_pretrained(path, num_labels=2).save_pretrained(folder)
        AutoTokenizer.from_pretrained(path).save_pretrained(folder)
        registry.register(folder, manifest(pooling=pooling))
    registry.promote("v1.0.0")
    return registry


def tiny_unigram_base(folder: Path) -> str:
    """A base with e5's tokenizer and two narrow layers of random weights; it trains in seconds."""
    package, base = folder / "package", folder / "base"
    packed_e5.write_package(package)
    base.mkdir()
    e5.convert(package, base)
    return str(base)
