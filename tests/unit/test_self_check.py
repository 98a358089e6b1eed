"""The self-check of a model (INV-10): it protects tickets from a broken device."""

from collections.abc import Sequence

import pytest

from tests.support.builders import manifest
from tests.support.engines import NoopModel
from triagem.contracts.errors import ModelBroken
from triagem.contracts.model import Tokens
from triagem.worker.models import self_check


class NanModel(NoopModel):
    """Returns NaN for every text."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        return [[float("nan")] * len(self.manifest.labels) for _ in batch]


def test_a_model_that_works_passes() -> None:
    self_check(NoopModel(manifest()))


def test_a_model_that_returns_nan_is_broken() -> None:
    """INV-18: otherwise each ticket would become a dead letter."""
    with pytest.raises(ModelBroken, match="NotFinite"):
        self_check(NanModel(manifest()))
