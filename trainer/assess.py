"""A version's answers on its test rows: every figure with its interval, and the files that tell them.

Not here: the formulas (`triagem.trainer.measures`), the page (`triagem.trainer.page`), the gate.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triagem.contracts.model import PAGE_FILE, PREDICTIONS_FILE, REPORT_FILE, Answer, Manifest
from triagem.contracts.text import digest
from triagem.trainer import measures
from triagem.trainer.data import Row
from triagem.trainer.measures import Floats, Ints
from triagem.trainer.page import page
from triagem.trainer.reading import behind, beside_baseline, readings
from triagem.trainer.report import Assessment, Baseline, Figure, Mistake, Point, Slice
from triagem.trainer.sureness import confidences, reliability, risks


@dataclass(frozen=True, slots=True)
class _Seen:
    """A model's answers, measured on all rows and on those of each language; and the numbers behind the former."""

    overall: Slice
    by_lang: dict[str, Slice]
    point: dict[str, Floats]
    samples: dict[str, Floats]


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
    langs = {lang: np.array([row.lang == lang for row in rows]) for lang in sorted({row.lang for row in rows} - {""})}
    said = np.asarray(probabilities, dtype=np.float64)
    seen = _seen(truth, said, langs, seed)
    exact = measures.ece_if_exact(said.max(axis=1), seed=seed)
    return Assessment(
        labels=tuple(labels),
        overall=seen.overall,
        by_lang=seen.by_lang,
        by_label={label: _of_label(seen, truth, place) for place, label in enumerate(labels)},
        confusion=tuple(
            tuple(map(int, line)) for line in measures.confusion(truth, said.argmax(axis=1), len(labels))
        ),
        before_calibration=None if raw is None else _seen(truth, np.asarray(raw), {}, seed).overall,
        ece_if_exact=_figure(exact.mean(keepdims=True), exact),
        bins=tuple(reliability(truth, said)),
        histogram=tuple(confidences(truth, said)),
        risk_coverage=tuple(risks(truth, said)),
        readings=tuple(readings(seen.overall.figures)),
        baseline=None if baseline is None else _beside(seen, _seen(truth, np.asarray(baseline), langs, seed)),
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


def _slice(rows: int, point: dict[str, Floats], samples: dict[str, Floats]) -> Slice:
    figures = {name: _figure(one, samples[name]) for name, one in point.items() if one.ndim == 1}
    return Slice(rows=rows, figures=figures)


def _figure(point: Floats, samples: Floats) -> Figure:
    if np.isnan(point[0]) or np.isnan(samples).all():
        return Figure(value=None, low=None, high=None)
    low, high = measures.interval(samples)
    return Figure(value=float(point[0]), low=float(low), high=float(high))


def _seen(truth: Ints, said: Floats, langs: Mapping[str, NDArray[np.bool_]], seed: int) -> _Seen:
    whole, *parts = (
        (measures.scores(truth[some], said[some]), measures.resampled(truth[some], said[some], seed=seed))
        for some in (np.ones(len(truth), dtype=bool), *langs.values())
    )
    by_lang = {lang: _slice(int(some.sum()), *part) for (lang, some), part in zip(langs.items(), parts, strict=True)}
    return _Seen(_slice(len(truth), *whole), by_lang, *whole)


def _of_label(seen: _Seen, truth: Ints, place: int) -> Slice:
    names = ("precision", "recall", "f1")
    columns = {name: (seen.point[f"{name}_of"][:, place], seen.samples[f"{name}_of"][:, place]) for name in names}
    return Slice(
        rows=int((truth == place).sum()), figures={name: _figure(*column) for name, column in columns.items()}
    )


def _beside(ours: _Seen, theirs: _Seen) -> Baseline:
    difference = ours.point["macro_f1"] - theirs.point["macro_f1"]
    gain = _figure(difference, ours.samples["macro_f1"] - theirs.samples["macro_f1"])
    langs = {lang: (one, theirs.by_lang[lang]) for lang, one in ours.by_lang.items()}
    return Baseline(
        overall=theirs.overall,
        by_lang=theirs.by_lang,
        gain=gain,
        sentence=beside_baseline(ours.overall, theirs.overall, gain, langs),
        beaten=(gain.low or 0.0) > 0 and not behind(langs),
    )


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
