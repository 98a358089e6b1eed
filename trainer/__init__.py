"""Models out: labelled rows to a registered version, measured beside the simplest model of the same rows.

Importing this package costs nothing; torch is loaded by `train`.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from contracts.model import ROWS_FILE, DataInfo, Manifest
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
    """Fine-tune on the rows of `data_dir`, calibrate, measure on its test part, register, and make it current.

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
    from trainer import inherit  # noqa: PLC0415
    from trainer.baseline import baseline  # noqa: PLC0415
    from trainer.checkpoints import begun, mark_of, workplace  # noqa: PLC0415
    from trainer.data import rows_digest  # noqa: PLC0415
    from trainer.evaluate import evaluate  # noqa: PLC0415
    from trainer.folds import plan  # noqa: PLC0415
    from trainer.lesson import Lesson  # noqa: PLC0415
    from trainer.prepare import prepare  # noqa: PLC0415
    from trainer.trust import settle, trust_in  # noqa: PLC0415

    if base and parent:
        raise InvalidInput("a training begins with a base or with a version, not with both: --base or --from")
    started = clock()
    ancestor = inherit.parent_of(registry, parent) if parent else None
    settings = settings.model_copy(update={"base": ancestor.manifest.base if ancestor else base or settings.base})
    data = prepare(data_dir, registry, settings, parent=parent, allow_leakage=allow_leakage)
    planned = plan(data.parts.train, data.parts.calibration, settings, ancestor)
    parts = planned.kept(data.parts)
    draft = Manifest(
        version="v0.0.0",  # the registry numbers it
        labels=inherit.labels_after(ancestor, data.labels),
        base=settings.base,
        parent=parent,
        created_at=started,
        data=DataInfo(digest=rows_digest(parts.train), rows=len(parts.train)),
        cleaning_version=CLEANING_VERSION,
        files={},
    )
    lesson = Lesson(draft, planned, parts.dev, settings, ancestor, progress, cores=os.cpu_count() or 1)
    mark = mark_of(planned, parts.dev, draft.labels, settings.model_dump(), ancestor and ancestor.manifest)
    with workplace(registry.root, mark) as work, registry.staging() as staged:
        resumed = begun(work)
        out_of_fold = lesson.answer_out_of_fold(work) if planned.folds else None
        model, tuned = lesson.learn(staged, work)
        (staged / ROWS_FILE).write_text(parts.rows().model_dump_json(), encoding="utf-8")
        trusted = settle(
            model,
            planned,
            parts.dev,
            settings,
            out_of_fold=out_of_fold,
            otherwise=ancestor.manifest.temperature if ancestor else 1.0,
        )
        uncalibrated, calibrated = trust_in(model, parts.test), trust_in(trusted.model, parts.test)
        scores = evaluate(trusted.model, parts.test)
        simplest = baseline((*parts.train, *parts.dev, *parts.calibration), parts.test)
        learned = {"metrics": _metrics(scores, simplest), "ece": calibrated.ece}
        manifest = registry.register(staged, trusted.model.manifest.model_copy(update=learned))
    if promote:
        registry.promote(manifest.version)
    return TrainingReport(
        manifest=manifest,
        notes=(*data.notes, *lesson.notes, *([RESUMED.format(tuned.resumed_at)] if resumed else [])),
        rows=len(parts.train),
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
