"""A version's answers on its test rows: every figure with its interval, and the files that tell them.

Not here: the formulas (`trainer.measures`), the page (`trainer.page`), the gate.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from contracts.model import PAGE_FILE, PREDICTIONS_FILE, REPORT_FILE, Answer, Manifest
from contracts.text import digest
from trainer import measures
from trainer.data import Row
from trainer.measures import Floats, Ints
from trainer.page import page
from trainer.reading import beside_baseline, readings
from trainer.report import Assessment, Bar, Baseline, Bin, Figure, Mistake, Point, Risk, Slice

_OF: Final = ("precision", "recall", "f1")
_CURVE_POINTS: Final = 200  # of the risk-coverage curve; more would not show
_BARS: Final = 20


def assess(
    rows: Sequence[Row],
    labels: Sequence[str],
    probabilities: ArrayLike,
    *,
    raw: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    curves: Sequence[Point] = (),
    notes: Sequence[str] = (),
    seed: int = 42,
) -> Assessment:
    """Compare what was said with the rows' own labels.

    Args:
        rows: of the test, whose labels are among `labels`.
        probabilities: calibrated, `[rows][labels]`.
        raw: the same before calibration.
        baseline: the baseline's, for the same rows.
        seed: of the resamples; the same gives the same intervals.
    """
    truth = np.array([labels.index(row.label) for row in rows])
    said = np.asarray(probabilities, dtype=np.float64)
    by_lang = {
        lang: np.array([row.lang == lang for row in rows]) for lang in sorted({row.lang for row in rows} - {""})
    }
    point, samples = measures.scores(truth, said), measures.resampled(truth, said, seed=seed)
    overall = _slice(len(rows), point, samples)
    return Assessment(
        labels=tuple(labels),
        overall=overall,
        by_lang={lang: _measured(truth[some], said[some], seed) for lang, some in by_lang.items()},
        by_label={
            label: Slice(
                rows=int((truth == place).sum()),
                figures={
                    name: _figure(point[f"{name}_of"][:, place], samples[f"{name}_of"][:, place]) for name in _OF
                },
            )
            for place, label in enumerate(labels)
        },
        confusion=tuple(
            tuple(map(int, line)) for line in measures.confusion(truth, said.argmax(axis=1), len(labels))
        ),
        before_calibration=None if raw is None else _measured(truth, np.asarray(raw, dtype=np.float64), seed),
        ece_if_exact=_expected(measures.ece_if_exact(said.max(axis=1), seed=seed)),
        bins=tuple(_bins(truth, said)),
        histogram=tuple(_histogram(truth, said)),
        risk_coverage=tuple(_risks(truth, said)),
        readings=tuple(readings(overall.figures)),
        baseline=None if baseline is None else _beside(truth, samples, overall, by_lang, np.asarray(baseline), seed),
        mistakes=tuple(_mistakes(rows, labels, said)),
        curves=tuple(curves),
        notes=tuple(notes),
        answers=tuple(
            Answer(digest=digest(row.text).hex(), label=row.label, probabilities=tuple(line.tolist()), lang=row.lang)
            for row, line in zip(rows, said, strict=True)
        ),
    )


def write(folder: Path, assessment: Assessment, manifest: Manifest) -> dict[str, float]:
    """Write report, page and answers into a version's staged folder; returns the metrics for its manifest.

    Args:
        manifest: as far as it is known: base, data, temperature and thresholds are shown on the page.
    """
    _write(folder / REPORT_FILE, assessment.model_dump_json(indent=1))
    _write(folder / PAGE_FILE, page(assessment, manifest))
    _write(folder / PREDICTIONS_FILE, "\n".join(answer.model_dump_json() for answer in assessment.answers))
    return {**metrics(assessment), **_cost(folder)}


def metrics(assessment: Assessment) -> dict[str, float]:
    """The manifest's: all on the test rows, and macro-F1 of each language, the model's and the baseline's."""
    named = {name: one.value for name, one in assessment.overall.figures.items()}
    named |= {f"macro_f1_{lang}": one.figures["macro_f1"].value for lang, one in assessment.by_lang.items()}
    if beside := assessment.baseline:
        named["baseline_macro_f1"] = beside.overall.figures["macro_f1"].value
        named |= {f"baseline_macro_f1_{lang}": one.figures["macro_f1"].value for lang, one in beside.by_lang.items()}
    return {name: value for name, value in named.items() if value is not None}


def uncalibrated(probabilities: ArrayLike, temperature: float) -> Floats | None:
    """What was said before a temperature other than 1 was divided by; None if there was none."""
    said = np.asarray(probabilities, dtype=np.float64)
    return None if temperature == 1 else measures.tempered(said, 1 / temperature)


def mflops_per_token(config: dict[str, Any]) -> float | None:
    """Millions of multiply-adds that an encoder of BERT's kind spends on a token, by its `config.json`.

    A layer's four square matrices and two of the feed-forward; attention's share, which grows with the text, is left
    out. None if the configuration does not say. What a version costs, without the noise of a measured rate.
    """
    layers, size, inner = (
        next((config[name] for name in names if name in config), None)
        for names in (("num_hidden_layers", "n_layers"), ("hidden_size", "dim"), ("intermediate_size", "hidden_dim"))
    )
    return layers * (4 * size**2 + 2 * size * inner) / 1e6 if layers and size and inner else None


def _cost(folder: Path) -> dict[str, float]:
    path = folder / "config.json"
    cost = mflops_per_token(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
    return {} if cost is None else {"mflops_per_token": cost}


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _measured(truth: Ints, said: Floats, seed: int) -> Slice:
    return _slice(len(truth), measures.scores(truth, said), measures.resampled(truth, said, seed=seed))


def _slice(rows: int, point: dict[str, Floats], samples: dict[str, Floats]) -> Slice:
    figures = {name: _figure(one, samples[name]) for name, one in point.items() if one.ndim == 1}
    return Slice(rows=rows, figures=figures)


def _figure(point: Floats, samples: Floats) -> Figure:
    if np.isnan(point[0]) or np.isnan(samples).all():
        return Figure(value=None, low=None, high=None)
    low, high = measures.interval(samples)
    return Figure(value=float(point[0]), low=float(low), high=float(high))


def _expected(draws: Floats) -> Figure:
    return _figure(draws.mean(keepdims=True), draws)


def _beside(  # noqa: PLR0917
    truth: Ints, samples: dict[str, Floats], model: Slice, by_lang: dict[str, Any], said: Floats, seed: int
) -> Baseline:
    theirs = measures.resampled(truth, said, seed=seed)
    overall = _slice(len(truth), measures.scores(truth, said), theirs)
    ours, other = model.figures["macro_f1"].value or 0.0, overall.figures["macro_f1"].value or 0.0
    gain = _figure(np.array([ours - other]), samples["macro_f1"] - theirs["macro_f1"])
    return Baseline(
        overall=overall,
        by_lang={lang: _measured(truth[some], said[some], seed) for lang, some in by_lang.items()},
        gain=gain,
        sentence=beside_baseline(ours, other, gain),
        beaten=(gain.low or 0.0) > 0,
    )


def _bins(truth: Ints, said: Floats) -> Iterator[Bin]:
    confidence, right = said.max(axis=1), said.argmax(axis=1) == truth
    places = measures.bins_of(confidence)
    for place in np.unique(places):
        some = places == place
        sure = binomtest(int(right[some].sum()), int(some.sum())).proportion_ci(method="wilson")
        accuracy = Figure(value=float(right[some].mean()), low=float(sure.low), high=float(sure.high))
        yield Bin(rows=int(some.sum()), confidence=float(confidence[some].mean()), accuracy=accuracy)


def _histogram(truth: Ints, said: Floats) -> Iterator[Bar]:
    confidence, right = said.max(axis=1), said.argmax(axis=1) == truth
    edges = np.linspace(0, 1, _BARS + 1)
    counts = [np.histogram(confidence[which], edges)[0] for which in (right, ~right)]
    for low, high, good, bad in zip(edges, edges[1:], *counts, strict=False):
        if high > 1 / said.shape[1]:  # the surest of L labels has at least 1/L
            yield Bar(low=round(float(low), 3), high=round(float(high), 3), right=int(good), wrong=int(bad))


def _risks(truth: Ints, said: Floats) -> Iterator[Risk]:
    curve = np.stack(measures.risk_coverage(truth, said), axis=1)
    places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).round().astype(int))
    for confidence, coverage, risk in curve[places].tolist():
        yield Risk(confidence=confidence, coverage=coverage, risk=risk)


def _mistakes(rows: Sequence[Row], labels: Sequence[str], said: Floats) -> Iterator[Mistake]:
    confidence, guess = said.max(axis=1), said.argmax(axis=1)
    for place in np.argsort(-confidence, kind="stable"):
        row, predicted = rows[place], labels[int(guess[place])]
        if row.label != predicted:
            yield Mistake(
                text=row.text,
                label=row.label,
                predicted=predicted,
                confidence=float(confidence[place]),
                lang=row.lang,
            )
