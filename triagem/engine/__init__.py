"""Inference engine: classifies texts with a model version. Serving, evaluation and drift checks all use it.

Importing this package is cheap; `triagem.engine.classify` loads torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict


class SpecificationPrediction(TypedDict):
    """The return type of `predict`, as the original specification defines it."""

    label: str
    score: float
    class_name: str


def predict(text: str, *, model: str | Path | None = None) -> SpecificationPrediction:
    """Classify one text in this process, without a server.

    Args:
        text: a customer's message, not cleaned.
        model: a version's folder; by default the registry's current version (`TRIAGEM_REGISTRY_URL`, default
            `./models`).

    >>> predict("minha internet caiu")  # doctest: +SKIP
    {'label': 'LABEL_0', 'score': 0.98, 'class_name': 'suporte'}
    """
    return predict_batch([text], model=model)[0]


def predict_batch(
    texts: Sequence[str], batch_size: int = 32, *, model: str | Path | None = None
) -> list[SpecificationPrediction]:
    """Classify many texts in micro-batches of `batch_size`; the predictions have the order of the texts."""
    from triagem.contracts.text import clean  # noqa: PLC0415
    from triagem.engine.classify import classify, load_cached  # noqa: PLC0415
    from triagem.registry import Registry, RegistrySettings  # noqa: PLC0415

    if model is None:
        registry = Registry(RegistrySettings().registry_url)
        model = registry.folder(registry.current().version)
    loaded = load_cached(Path(model).absolute())
    probabilities = classify(loaded, [clean(text) for text in texts], batch_size=batch_size)
    predictions: list[SpecificationPrediction] = []
    for row in probabilities:
        best = max(range(len(row)), key=row.__getitem__)
        predictions.append({"label": f"LABEL_{best}", "score": row[best], "class_name": loaded.manifest.labels[best]})
    return predictions
