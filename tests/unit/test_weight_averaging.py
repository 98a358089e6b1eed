"""The mean of the weights of several training runs."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from triagem.trainer.bases.catalogue import WEIGHTS
from triagem.trainer.fit.training_run import average_weights


def weights(folder: Path, *values: float) -> Path:
    folder.mkdir()
    tensors = {"layer": torch.tensor(values), "head": torch.tensor([values[0] * 10])}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return folder


def test_each_weight_becomes_the_mean_of_all_models(tmp_path: Path) -> None:
    own = weights(tmp_path / "own", 1.0, 2.0)

    average_weights(own, [weights(tmp_path / "a", 4.0, 2.0), weights(tmp_path / "b", 1.0, 5.0)])

    mean = load_file(own / WEIGHTS)
    assert {name: weight.tolist() for name, weight in mean.items()} == {"layer": [2.0, 3.0], "head": [20.0]}


def test_the_other_models_are_unchanged_and_the_file_keeps_its_metadata(tmp_path: Path) -> None:
    own, other = weights(tmp_path / "own", 1.0), weights(tmp_path / "other", 3.0)

    average_weights(own, [other])

    assert load_file(other / WEIGHTS)["layer"].tolist() == [3.0]
    with safe_open(own / WEIGHTS, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
