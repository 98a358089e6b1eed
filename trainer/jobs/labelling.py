"""Jobs that a person starts in the console: choose the next questions, train a version on the answers, rate a file.

The first two also estimate and store the progress, so that the console's page only reads stored values.
"""

import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import PurePath
from typing import Any, Final

from numpy.typing import NDArray
from pydantic import BaseModel

from triagem.contracts.abstain import abstain_reason
from triagem.contracts.errors import InvalidInput, Retryable
from triagem.contracts.text import clean
from triagem.db import training_jobs
from triagem.db.labels import list_labels, review_choices
from triagem.db.reviews.agreed_labels import Exclusion, majority_label
from triagem.db.reviews.labelling import PoolText, QuestionKind, count_answers, read_pool, save_questions
from triagem.db.uploads import delete_upload, find_upload, finish_upload
from triagem.trainer.active.embeddings import embed_texts, frozen_base
from triagem.trainer.active.export import rate_export
from triagem.trainer.active.pool import Answer, Pool
from triagem.trainer.active.progress import estimate_progress, suspicious_answers
from triagem.trainer.active.selection import next_questions
from triagem.trainer.jobs.run import JobRun

_MAX_SUSPICIOUS: Final = 5
_MIN_LABELS: Final = 2


def choose_questions(run: JobRun) -> None:
    """Embed new texts, and replace the questions."""
    pool, stored, _ = _read_pool(run)
    _save(run, pool, stored, None)


def train_head(run: JobRun) -> str:
    """Train and register a version on the answers, and replace the questions."""
    from triagem.trainer.active.version import train_head_version  # noqa: PLC0415 - loads torch

    # Not those at the time of the request: people answer while the job waits, and the next version counts from here.
    training_jobs.save_answers(run.database, run.job.id, sum(count_answers(run.database).values()))
    pool, stored, cleaned = _read_pool(run)
    run.report("train")
    answered = (stored[answer.text] for answer in pool.labelled)
    conversations = [text.digest.hex() for text in answered if len(text.parts) > 1]
    manifest, proof_missing = train_head_version(
        run.registry, pool, cleaned, _base(run), conversations=conversations, job=run.key
    )
    _save(run, pool, stored, proof_missing)
    return manifest.version


def _base(run: JobRun) -> str:
    return run.settings.base or frozen_base()


def _read_pool(run: JobRun) -> tuple[Pool, list[PoolText], list[str]]:
    """The pool, and its texts by position: the stored and the cleaned text."""
    labels = review_choices(run.database, run.registry.current_labels())
    if len(labels) < _MIN_LABELS:
        raise InvalidInput("there are fewer than two labels: name them on the page Start of the console")
    stored, cleaned = unique_texts(read_pool(run.database))
    described = {label.label: label.description for label in list_labels(run.database)}
    descriptions = [clean(described.get(label) or label) for label in labels]
    embeddings: NDArray[Any] = embed_texts(
        _base(run), [*cleaned, *descriptions], run.registry.work_dir,
        lambda done, total: run.report("embed", done / total),
    )  # fmt: skip
    answers = tuple(
        Answer(position, _label(text), text.kind == QuestionKind.RANDOM)
        for position, text in enumerate(stored)
        if text.labels
    )
    count = len(stored)
    return Pool(embeddings[:count], tuple(labels), answers, embeddings[count:]), stored, cleaned


def unique_texts(pool: list[PoolText]) -> tuple[list[PoolText], list[str]]:
    """Each different text once, with its cleaned text; an answered text represents its copies.

    Unanswered texts with an `abstain_reason` are left out. A conversation is represented by the part that its label
    refers to, as in `Row.parts`; this part is already clean.
    """
    texts: dict[str, PoolText] = {}
    for text in pool:
        received = text.parts[-1] if text.parts else text.text
        cleaned = received if text.parts else clean(received)
        if text.labels or (abstain_reason(received, cleaned) is None and cleaned not in texts):
            texts[cleaned] = text
    return list(texts.values()), list(texts)


def _label(text: PoolText) -> str | None:
    label = majority_label(text.labels)
    return None if isinstance(label, Exclusion) else label


def _save(run: JobRun, pool: Pool, stored: list[PoolText], proof_missing: int | None) -> None:
    run.report("choose")
    questions = [
        (stored[question.text], QuestionKind.RANDOM if question.random else QuestionKind.CHOSEN)
        for question in next_questions(pool)
    ]
    if progress := estimate_progress(pool):
        doubtful = suspicious_answers(pool)[:_MAX_SUSPICIOUS]
        questions += [(stored[position], QuestionKind.SUSPICIOUS) for position in doubtful]
        progress = replace(progress, proof_missing=proof_missing)
    save_questions(run.database, questions, progress)


_EXCERPT_CHARS: Final = 80


class PreflightParameters(BaseModel):
    """The uploaded file, and how to read it."""

    upload: int
    label_column: str = ""
    label_map: str = ""
    by: str = ""


def rate_upload(run: JobRun) -> None:
    """Store the figures in place of the file. If the job fails, the file is deleted too."""
    parameters = PreflightParameters.model_validate(run.job.parameters)
    upload = find_upload(run.database, parameters.upload)
    if upload is None or upload.content is None:
        raise InvalidInput("the file was deleted: upload it again")
    run.report("evaluate")
    name = PurePath(upload.name)
    export = run.folder / f"export{name.suffix}"
    shown = partial(re.sub, rf"({re.escape(str(run.folder))}/)?\b{re.escape(export.name)}\b", lambda _: name.name)
    notes: list[str] = []
    try:
        export.write_bytes(upload.content)
        options = parameters.model_dump(exclude={"upload"})
        figures = asdict(rate_export(export, run.registry, **options, on_notes=notes.extend))
    except Retryable:
        raise
    except Exception as error:
        delete_upload(run.database, parameters.upload)
        if isinstance(error, InvalidInput):
            raise InvalidInput(shown(str(error))) from None
        raise
    finally:
        export.unlink(missing_ok=True)
    figures["notes"] = [note.removeprefix(f"{export.name}: ") for note in notes]
    for mistake in figures.get("mistakes", ()):
        mistake["where"] = shown(mistake["where"])
        mistake["text"] = " ".join(mistake["text"].split())[:_EXCERPT_CHARS]
    finish_upload(run.database, parameters.upload, figures)
