"""A training report on a few rows with fixed probabilities, without a model."""

from collections.abc import Sequence
from typing import Any

from triagem.contracts.assessment import Assessment
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.assess import assess

LABELS = ("suporte", "venda")


def rows(*texts: str, labels: Sequence[str] = ("suporte", "venda"), lang: str = "") -> list[Row]:
    """One row per text, with the labels in turn."""
    return [Row(text, labels[index % len(labels)], lang) for index, text in enumerate(texts)]


def sure(*venda: float) -> list[list[float]]:
    """Probabilities per row, from the probabilities of `venda`."""
    return [[1 - probability, probability] for probability in venda]


def report(**changes: Any) -> Assessment:
    """A report on six rows of two languages. The model is wrong on one row, the baseline on two."""
    test_rows = [
        Row("minha internet caiu", "suporte", "pt"),
        Row("quero trocar de plano", "venda", "pt"),
        Row("the app crashes", "suporte", "en"),
        Row("a quote for ten seats", "venda", "en"),
        Row("boleto em dobro", "suporte", "pt"),
        Row("how much is it", "venda", "en"),
    ]
    arguments = {
        "rows": test_rows,
        "labels": LABELS,
        "probabilities": sure(0.02, 0.97, 0.1, 0.85, 0.9, 0.95),
        "baseline": sure(0.4, 0.6, 0.3, 0.45, 0.7, 0.8),
    }
    return assess(**(arguments | changes))
