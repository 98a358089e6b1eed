"""Models out: labelled rows to a registered version, measured beside the simplest model of the same rows.

Importing this package costs nothing; torch is loaded by `train`.
"""

if __name__ != "triagem.trainer":  # a second copy of every module would be loaded
    raise ImportError("import triagem.trainer, not trainer: the folder at the root is linked into the package")

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import ROWS_FILE, DataInfo, Manifest
from triagem.registry import Registry
from triagem.registry.promote import through_gate
from triagem.trainer.report import Assessment, Point, Progress, TrainingReport
from triagem.trainer.settings import TrainSettings

__all__ = ["Assessment", "Point", "Progress", "TrainSettings", "TrainingReport", "train"]


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
    """Fine-tune on the rows of `data_dir`, calibrate, measure on its test part, register, and ask the gate.

    The version appears in the registry whole or not at all. After a kill, the same call goes on where it was.

    Args:
        base: instead of the settings' own: a hub name, a folder, or the packaged model's name.
        parent: a registered version to go on from, instead of a base.
        promote: make the new version current if the gate lets it through, by its default rule.
        allow_leakage: go on although test rows are, or nearly are, training rows.

    Raises:
        InvalidInput: the data or the base cannot be used, or the test would measure memory.
        AlreadyTraining: another process is at the same training.
    """
    from triagem.contracts.text import CLEANING_VERSION  # noqa: PLC0415
    from triagem.trainer import inherit  # noqa: PLC0415
    from triagem.trainer.assess import assess, write  # noqa: PLC0415
    from triagem.trainer.baseline import baseline  # noqa: PLC0415
    from triagem.trainer.checkpoints import begun, mark_of, workplace  # noqa: PLC0415
    from triagem.trainer.data import rows_digest  # noqa: PLC0415
    from triagem.trainer.folds import plan  # noqa: PLC0415
    from triagem.trainer.lesson import Lesson  # noqa: PLC0415
    from triagem.trainer.prepare import prepare  # noqa: PLC0415
    from triagem.trainer.reference import write_reference  # noqa: PLC0415
    from triagem.trainer.trust import answers, settle  # noqa: PLC0415

    if base and parent:
        raise InvalidInput("a training begins with a base or with a version, not with both: --base or --from")
    started = clock()
    ancestor = inherit.parent_of(registry, parent) if parent else None
    settings = settings.model_copy(update={"base": ancestor.manifest.base if ancestor else base or settings.base})
    data = prepare(data_dir, registry, settings, parent=parent, allow_leakage=allow_leakage)
    parts = data.parts
    planned = plan(parts, settings, ancestor)
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
    with workplace(registry.scratch, mark) as work, registry.staging() as staged:
        resumed = begun(work)
        out_of_fold = lesson.answer_out_of_fold(work) if planned.folds else None
        model, tuned = lesson.learn(staged, work)
        model, blended = lesson.blended(model, staged, work)
        (staged / ROWS_FILE).write_text(parts.rows().model_dump_json(), encoding="utf-8")
        trusted = settle(
            model,
            planned,
            parts.dev,
            settings,
            out_of_fold=out_of_fold,
            otherwise=ancestor.manifest.temperature if ancestor else 1.0,
        )
        notes = (*data.notes, *lesson.notes, *blended)
        assessment = assess(
            parts.test,
            draft.labels,
            answers(trusted.model, parts.test),
            raw=answers(model, parts.test),
            baseline=baseline((*parts.train, *parts.dev, *parts.calibration), parts.test, draft.labels),
            curves=tuned.curves,
            notes=notes,
            seed=settings.seed,
        )
        manifest = trusted.model.manifest
        write_reference(staged, trusted.model, (*parts.dev, *parts.calibration, *parts.test))
        figures = write(staged, assessment, manifest)
        manifest = registry.register(staged, manifest.model_copy(update={"metrics": figures, "ece": figures["ece"]}))
    gate = through_gate(registry, manifest.version)[0] if promote else None
    return TrainingReport(
        manifest=manifest,
        notes=(*notes, *([RESUMED.format(tuned.resumed_at)] if resumed else [])),
        rows=len(parts.train),
        steps=lesson.steps,
        seconds=(clock() - started).total_seconds(),
        calibration=trusted.calibration,
        threshold=trusted.threshold,
        assessment=assessment,
        gate=gate,
    )
