"""A report on few rows without a model: what was said is written down here."""

from collections.abc import Sequence
from typing import Any

from triagem.trainer.assess import assess
from triagem.trainer.data import Row
from triagem.trainer.report import Assessment

LABELS = ("suporte", "venda")


def rows(*texts: str, labels: Sequence[str] = ("suporte", "venda"), lang: str = "") -> list[Row]:
    """A row a text, the labels in turn."""
    return [Row(text, labels[place % len(labels)], lang) for place, text in enumerate(texts)]


def sure(*venda: float) -> list[list[float]]:
    """How sure it was of `venda`, a row each."""
    return [[1 - one, one] for one in venda]


def report(**changes: Any) -> Assessment:
    """Six rows of two languages, one of them wrong; not the baseline, which has two wrong."""
    some = [
        Row("minha internet caiu", "suporte", "pt"),
        Row("quero trocar de plano", "venda", "pt"),
        Row("the app crashes", "suporte", "en"),
        Row("a quote for ten seats", "venda", "en"),
        Row("boleto em dobro", "suporte", "pt"),
        Row("how much is it", "venda", "en"),
    ]
    given = {
        "rows": some,
        "labels": LABELS,
        "probabilities": sure(0.02, 0.97, 0.1, 0.85, 0.9, 0.95),
        "baseline": sure(0.4, 0.6, 0.3, 0.45, 0.7, 0.8),
    }
    return assess(**(given | changes))
