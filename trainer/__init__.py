"""Trains a registered model version from labelled rows and compares it with a TF-IDF baseline on the same rows.

Importing this package is cheap; `train` loads torch.
"""

if __name__ != "triagem.trainer":  # a second copy of every module would be loaded
    raise ImportError("import triagem.trainer, not trainer: the folder at the root is linked into the package")

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from triagem.contracts.assessment import Assessment, CurvePoint
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import ROWS_FILE, UNREGISTERED, Manifest
from triagem.registry import Registry
from triagem.registry.promote import promote_through_gate
from triagem.trainer.evaluate.report import TrainingProgress, TrainingReport
from triagem.trainer.settings import AUTO, TrainSettings

__all__ = ["Assessment", "CurvePoint", "TrainSettings", "TrainingProgress", "TrainingReport", "train"]


UNVERIFIED: Final = "--promote-unverified: {} test rows are also training rows, or nearly, so no score counts"
RESUMED: Final = "resumed an interrupted training; this version's own training from step {}"


def train(
    data: Path,
    registry: Registry,
    settings: TrainSettings,
    progress: TrainingProgress,
    *,
    base: str | None = None,
    parent: str | None = None,
    promote: bool = True,
    allow_leakage: bool = False,
    promote_unverified: bool = False,
    own: Mapping[str, str] = MappingProxyType({}),
    job: str | None = None,
    work_dir: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TrainingReport:
    """Fine-tune on the rows of `data`, a folder or a file, calibrate, evaluate, register, and run the gate.

    Registration is atomic. After an interruption, the same call resumes the training.

    Args:
        base: overrides the settings' base: a packaged base's name, a folder or a hub id.
        parent: a registered version to fine-tune from, instead of a base.
        promote: make the new version current if it passes the gate's default rule.
        allow_leakage: continue although test rows are training rows or near-duplicates of them. The scores are then
            invalid, and the gate rejects the version.
        promote_unverified: make a version with leaked test rows current although the gate rejects it. The promotion
            log records this.
        own: labels by ticket that only Triagem has set. Rows with these labels are left out.
        job: the training job; see `triagem.registry.Registry.register`.
        work_dir: where the checkpoints are; default: the registry's.

    Raises:
        InvalidInput: the data or the base cannot be used, or the test rows leak into the training rows.
        AlreadyTraining: another process runs the same training.
    """
    from triagem.contracts.text import CLEANING_VERSION  # noqa: PLC0415
    from triagem.trainer.bases.catalogue import SPECIFICATION_BASE, find_base, installed_bases  # noqa: PLC0415
    from triagem.trainer.data.prepare import merge_labels, prepare, read_parent  # noqa: PLC0415
    from triagem.trainer.data.split import checkpoint_rows, split_digests  # noqa: PLC0415
    from triagem.trainer.evaluate.assess import assess, register_with_report  # noqa: PLC0415
    from triagem.trainer.evaluate.baseline import baseline  # noqa: PLC0415
    from triagem.trainer.evaluate.calibration import undecided_note  # noqa: PLC0415
    from triagem.trainer.fit.base_choice import choose_base  # noqa: PLC0415
    from triagem.trainer.fit.checkpoints import has_progress, training_folder, training_id  # noqa: PLC0415
    from triagem.trainer.fit.cross_validation import plan_calibration  # noqa: PLC0415
    from triagem.trainer.fit.training_run import (  # noqa: PLC0415
        TrainingRun,
        probabilities_of,
        write_current_predictions,
    )
    from triagem.trainer.monitor.reference import write_reference  # noqa: PLC0415

    if base and parent:
        raise InvalidInput("a training starts from a base or from a version, not from both: pass --base or --from")
    started = clock()
    ancestor = read_parent(registry, parent) if parent else None
    prepared = prepare(
        data,
        registry,
        settings,
        parent=parent,
        allow_leakage=allow_leakage,
        own=own,
        on_audit=lambda corpus, audited: progress.on_notes((*corpus.notes, *audited.lines(test_leak=allow_leakage))),
    )
    progress.on_notes(prepared.parts.notes)
    parts, info = prepared.parts, prepared.info
    chosen, choice = ancestor.manifest.base if ancestor else base or settings.base, None
    if chosen == AUTO:
        bases = installed_bases() or [SPECIFICATION_BASE]
        chosen, choice = choose_base(bases, parts.train, seed=settings.seed, on_notes=progress.on_notes)
    settings = settings.model_copy(update={"base": chosen})
    plan = plan_calibration(parts, settings, ancestor)
    draft = Manifest(
        version=UNREGISTERED,
        labels=merge_labels(ancestor, parts.labels),
        base=chosen,
        base_choice=choice,
        parent=parent,
        job=job,
        created_at=started,
        data=info,
        cleaning_version=CLEANING_VERSION,
        files={},
    )
    dev, cores = checkpoint_rows(parts.dev), os.cpu_count() or 1
    run = TrainingRun(draft, plan, dev, settings, ancestor, progress, cores)
    run_notes = (*([choice.summary(chosen)] if choice else []), *run.notes)
    progress.on_notes(run_notes)
    identifier = training_id(plan, parts.dev, draft.labels, settings.model_dump(), ancestor and ancestor.manifest)
    with training_folder(work_dir or registry.work_dir, identifier) as work, registry.staging() as staged:
        if resumed := has_progress(work):
            progress.on_notes(["resumes an interrupted training"])
        out_of_fold = run.predict_out_of_fold(work) if plan.folds else None
        model, tuned = run.train_model(staged, work)
        model, averaging_notes = run.average_with_folds(model, staged, work)
        (staged / ROWS_FILE).write_text(split_digests(parts).model_dump_json(), encoding="utf-8")
        calibrated, calibration, threshold = run.calibrate(model, out_of_fold)
        notes = (*prepared.notes, *run_notes)
        outcome_notes = (*averaging_notes, undecided_note(calibrated, parts.test))
        assessment = assess(
            parts.test,
            draft.labels,
            probabilities_of(calibrated, parts.test),
            raw=probabilities_of(model, parts.test),
            baseline=baseline((*parts.train, *parts.dev, *parts.calibration), parts.test, draft.labels),
            curves=tuned.curves,
            notes=(*notes, *outcome_notes, calibration.summary, threshold.summary),
            leaked=info.leaked,
            seed=settings.seed,
        )
        write_current_predictions(staged, registry, parts.test)
        write_reference(staged, calibrated, (*parts.dev, *parts.calibration, *parts.test))
        digest = ancestor.manifest.base_digest if ancestor else find_base(chosen).verified_digest()
        final = calibrated.manifest.model_copy(update={"base_digest": digest})
        manifest = register_with_report(registry, staged, final, assessment)
    force = UNVERIFIED.format(info.leaked) if promote_unverified and info.leaked else None
    gate = promote_through_gate(registry, manifest.version, force=force)[0] if promote else None
    return TrainingReport(
        manifest=manifest,
        notes=notes,
        outcome_notes=(*outcome_notes, *([RESUMED.format(tuned.resumed_at)] if resumed else [])),
        rows=len(parts.train),
        steps=run.steps,
        seconds=(clock() - started).total_seconds(),
        calibration=calibration,
        threshold=threshold,
        assessment=assessment,
        gate=gate,
        unverified=promote and force is not None,
    )
