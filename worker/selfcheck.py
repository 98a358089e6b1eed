"""Does the model still answer at all? Asked after loading, and before a text is given up as poison."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from triagem.contracts.errors import ModelBroken
from triagem.contracts.model import Model
from triagem.worker.judge import require_finite

_TEXTS: Final = ("minha internet caiu", "I would like a quote for twenty licences", "a")


def self_check(model: Model) -> None:
    """Raises ModelBroken if the model fails on a few harmless texts, whatever the reason."""
    try:
        for row in model.probabilities(model.tokenize(_TEXTS)):
            require_finite(row, model.labels)
    except Exception as error:
        raise ModelBroken(
            f"{model.version} fails on the self-check ({type(error).__name__}): check the device, then start again"
        ) from error


def checked(load: Callable[[Path], Model]) -> Callable[[Path], Model]:
    """`load`, followed by the self-check: no worker touches a ticket before its model has answered."""

    def loaded(folder: Path) -> Model:
        model = load(folder)
        self_check(model)
        return model

    return loaded
