"""The mean of several trainings' weights: one model, no slower than any of them, and less of a chance result.

Models that were fine-tuned from one base, with one head, lie in one basin of the loss, where the mean of weights does
about what the mean of answers would (model soups, Wortsman et al. 2022, arXiv:2203.05482). Files only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS: Final = "model.safetensors"


def blend(folder: Path, others: Sequence[Path]) -> None:
    """Put the mean of the weights in `folder` and in the `others` into `folder`; all are of one architecture."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    mean = load_file(folder / WEIGHTS)
    for other in others:
        for name, weight in load_file(other / WEIGHTS).items():
            mean[name] += weight
    save_file({name: total.div_(1 + len(others)) for name, total in mean.items()}, folder / WEIGHTS, metadata)
