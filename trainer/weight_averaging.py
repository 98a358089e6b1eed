"""Averages the weights of several trainings into one model that is as fast as each and varies less between seeds.

Models that were fine-tuned from one base, with one head, lie in one basin of the loss. There the mean of the weights
predicts about what the mean of the probabilities would (model soups, Wortsman et al. 2022, arXiv:2203.05482).
Works on files only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS: Final = "model.safetensors"


def average_weights(folder: Path, others: Sequence[Path]) -> None:
    """Replace the weights in `folder` with their mean with those in `others`; all have the same architecture."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    total = load_file(folder / WEIGHTS)
    for other in others:
        for name, weight in load_file(other / WEIGHTS).items():
            total[name] += weight
    save_file({name: weight.div_(1 + len(others)) for name, weight in total.items()}, folder / WEIGHTS, metadata)
