"""Registers the small BERT that pip installs as a model version, with a seeded, untrained head."""

from pathlib import Path

from tests.support.builders import manifest
from triagem.registry import Registry
from triagem.trainer.settings import PACKAGED_BASE, base_path


def register_small_bert(root: Path) -> Registry:
    """A new registry in `root` whose current v1.0.0 is the small BERT."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = base_path(PACKAGED_BASE)
    torch.manual_seed(42)
    registry = Registry(root)
    with registry.staging() as folder:
        AutoModelForSequenceClassification.from_pretrained(base, num_labels=2).save_pretrained(folder)
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        registry.register(folder, manifest())
    registry.promote("v1.0.0")
    return registry
