"""What runs a model version: texts in, probabilities out. The one engine of serving, evaluation and drift.

Importing this package costs nothing; torch is loaded with `triagem.engine.classify`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict


class SeedPrediction(TypedDict):
    """What the seed document's `predict` returns."""

    label: str
    score: float
    class_name: str


def predict(text: str, *, model: str | Path | None = None) -> SeedPrediction:
    """Classify one text without any server.

    Args:
        text: a customer's message, as it came.
        model: a version's folder; by default the registry's current version (`TRIAGEM_REGISTRY_URL`, `./models`).

    >>> predict("minha internet caiu")  # doctest: +SKIP
    {'label': 'LABEL_0', 'score': 0.98, 'class_name': 'suporte'}
    """
    return predict_batch([text], model=model)[0]


def predict_batch(
    texts: Sequence[str], batch_size: int = 32, *, model: str | Path | None = None
) -> list[SeedPrediction]:
    """Classify many texts, `batch_size` of them in a micro-batch; the answers come in the order of the texts."""
    from triagem.contracts.text import clean  # noqa: PLC0415
    from triagem.engine.classify import classify, current_folder, load_once  # noqa: PLC0415

    loaded = load_once(Path(model).absolute() if model else current_folder())
    rows = classify(loaded, [clean(text) for text in texts], batch_size=batch_size)
    answers: list[SeedPrediction] = []
    for row in rows:
        best = max(range(len(row)), key=row.__getitem__)
        answers.append({"label": f"LABEL_{best}", "score": row[best], "class_name": loaded.labels[best]})
    return answers
