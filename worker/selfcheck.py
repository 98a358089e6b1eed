"""Self-check of a model: runs after loading, and before a text is dead-lettered for making the model fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from triagem.contracts.errors import ModelBroken
from triagem.contracts.model import Model
from triagem.worker.bands import require_finite

_TEXTS: Final = ("minha internet caiu", "I would like a quote for twenty licences", "a")


def self_check(model: Model) -> None:
    """Raises ModelBroken if the model fails on a few harmless texts, for whatever reason."""
    try:
        for row in model.probabilities(model.tokenize(_TEXTS)):
            require_finite(row, model.labels)
    except Exception as error:
        raise ModelBroken(
            f"{model.version} fails the self-check ({type(error).__name__}): check the device, then restart"
        ) from error


def with_self_check(load: Callable[[Path], Model]) -> Callable[[Path], Model]:
    """Wrap `load` with the self-check, so that no worker fetches a ticket before its model works."""

    def loaded(folder: Path) -> Model:
        model = load(folder)
        self_check(model)
        return model

    return loaded
