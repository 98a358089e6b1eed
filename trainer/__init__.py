"""Models out: labelled rows to a registered version, measured beside the simplest model of the same rows.

Importing this package costs nothing; torch is loaded by `train`.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from contracts.model import DataInfo, Manifest
from registry import Registry
from trainer.report import Evaluation, Progress, Scores, TrainingReport
from trainer.settings import TrainSettings

__all__ = ["Evaluation", "Progress", "Scores", "TrainSettings", "TrainingReport", "train"]


RESUMED: Final = "a training that was cut off went on, this version from its step {}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def train(
    data_dir: Path,
    registry: Registry,
    settings: TrainSettings,
    progress: Progress,
    *,
    base: str | None = None,
    parent: str | None = None,
    promote: bool = True,
    allow_leakage: bool = False,
    clock: Callable[[], datetime] = _utc_now,
) -> TrainingReport:
    """Fine-tune on `data_dir/train.jsonl`, calibrate, measure on `data_dir/test.jsonl`, register, make it current.

    The version appears in the registry whole or not at all. After a kill, the same call goes on where it was.

    Args:
        base: instead of the settings' own: a hub name, a folder, or the packaged model's name.
        parent: a registered version to go on from, instead of a base.
        promote: whether workers should run the new version from now on.
        allow_leakage: go on although test rows are, or nearly are, training rows.

    Raises:
        InvalidInput: the data or the base cannot be used, or the test would measure memory.
        AlreadyTraining: another process is at the same training.
    """
    from contracts.text import CLEANING_VERSION  # noqa: PLC0415
    from trainer import data, inherit  # noqa: PLC0415
    from trainer.audit import audit, refuse_leaks  # noqa: PLC0415
    from trainer.baseline import baseline  # noqa: PLC0415
    from trainer.checkpoints import begun, mark_of, workplace  # noqa: PLC0415
    from trainer.evaluate import evaluate  # noqa: PLC0415
    from trainer.folds import plan  # noqa: PLC0415
    from trainer.lesson import Lesson  # noqa: PLC0415
    from trainer.trust import settle, trust_in  # noqa: PLC0415

    if base and parent:
        raise InvalidInput("a training begins with a base or with a version, not with both: --base or --from")
    started = clock()
    ancestor = inherit.parent_of(registry, parent) if parent else None
    settings = settings.model_copy(update={"base": ancestor.manifest.base if ancestor else base or settings.base})
    corpus = data.load(data_dir)
    found = audit(corpus.train, corpus.test)
    if not allow_leakage:
        refuse_leaks(found)
    rows, dev = data.hold_out(corpus.train, settings.seed)
    planned = plan(rows, (), settings, ancestor)
    draft = Manifest(
        version="v0.0.0",  # the registry numbers it
        labels=inherit.labels_after(ancestor, corpus.labels),
        base=settings.base,
        parent=parent,
        created_at=started,
        data=DataInfo(digest=corpus.digest, rows=len(corpus.train)),
        cleaning_version=CLEANING_VERSION,
        files={},
    )
    lesson = Lesson(draft, planned, dev, settings, ancestor, progress, cores=os.cpu_count() or 1)
    mark = mark_of(planned, dev, draft.labels, settings.model_dump(), ancestor and ancestor.manifest)
    with workplace(registry.root, mark) as work, registry.staging() as staged:
        resumed = begun(work)
        out_of_fold = lesson.answer_out_of_fold(work) if planned.folds else None
        model, tuned = lesson.learn(staged, work)
        trusted = settle(
            model,
            planned,
            dev,
            settings,
            out_of_fold=out_of_fold,
            otherwise=ancestor.manifest.temperature if ancestor else 1.0,
        )
        uncalibrated, calibrated = trust_in(model, corpus.test), trust_in(trusted.model, corpus.test)
        scores = evaluate(trusted.model, corpus.test)
        simplest = baseline(corpus.train, corpus.test)
        learned = {"metrics": _metrics(scores, simplest), "ece": calibrated.ece}
        manifest = registry.register(staged, trusted.model.manifest.model_copy(update=learned))
    if promote:
        registry.promote(manifest.version)
    return TrainingReport(
        manifest=manifest,
        notes=(*found.lines(), *lesson.notes, *([RESUMED.format(tuned.resumed_at)] if resumed else [])),
        rows=len(corpus.train),
        steps=lesson.steps,
        seconds=(clock() - started).total_seconds(),
        model=scores,
        baseline=simplest,
        curves=tuned.curves,
        calibration=trusted.calibration,
        threshold=trusted.threshold,
        uncalibrated=uncalibrated,
        calibrated=calibrated,
    )


def _metrics(scores: Evaluation, simplest: Evaluation) -> dict[str, float]:
    """All on the test rows: the seed's figures, and macro-F1 of each language, the model's and the baseline's."""
    overall = scores.overall
    return {
        "accuracy": overall.accuracy,
        "precision": overall.precision,
        "recall": overall.recall,
        "f1": overall.f1,
        "macro_f1": overall.macro_f1,
        **{f"macro_f1_{lang}": one.macro_f1 for lang, one in scores.by_lang.items()},
        "baseline_macro_f1": simplest.overall.macro_f1,
        **{f"baseline_macro_f1_{lang}": one.macro_f1 for lang, one in simplest.by_lang.items()},
    }
