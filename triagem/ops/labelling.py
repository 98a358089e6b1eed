"""Requests training jobs while a person labels: questions to ask next, and a version after every ten answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from triagem.contracts.errors import TriagemError
from triagem.contracts.model import Manifest
from triagem.db import Database, training_jobs
from triagem.db.audit import Actor
from triagem.db.reviews.labelling import LabellingState, count_answers
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.registry import Registry

log = structlog.get_logger(__name__)

FIRST_ANSWERS: Final = 10  # for each of two labels
EVERY_ANSWERS: Final = 10
_FEW_QUESTIONS: Final = 3  # with fewer left, the next ones are chosen, to be ready before the last answer


def answers_to_version(answers: Mapping[str, int], trained_on: int) -> int:
    """The number of answers until the next version; 0 if it is due. `trained_on`: answers of the newest. Pure."""
    most = sorted([*answers.values(), 0, 0], reverse=True)[:2]
    if trained_on:
        return max(0, trained_on + EVERY_ANSWERS - sum(answers.values()))
    return sum(max(0, FIRST_ANSWERS - count) for count in most)


def questions_due(state: LabellingState, chosen_at: int | None) -> bool:
    """Whether to choose the next questions: few are left, and there are answers or texts that are not used yet. Pure.

    `chosen_at`: the number of answers when they were last chosen.
    """
    return state.texts > 0 and state.questions < _FEW_QUESTIONS and chosen_at != state.total


@dataclass(frozen=True, slots=True)
class VersionState:
    """The current version, the active jobs, and the number of answers until the next version; 0 without a next one.

    `first`: whether no version was requested yet. `ended`: the newest training of a version that has ended.
    `rejected`: the same, if the gate rejected its version and nobody has promoted it since.
    """

    model: Manifest | None
    jobs: Sequence[TrainingJob]
    answers_missing: int
    first: bool
    ended: TrainingJob | None
    rejected: TrainingJob | None


def version_state(database: Database, registry: Registry, answers: Mapping[str, int]) -> VersionState:
    """The state of the versions that answers make."""
    current, trainings = registry.find_current(), training_jobs.newest_jobs(database, limit=2, kind=JobKind.HEAD)
    newest = next(iter(trainings), None)
    ended = next((job for job in trainings if not job.active), None)
    model = registry.manifest(current.version) if current else None
    missing = answers_to_version(answers, _answers(newest)) if _head_versions_continue(database, model) else 0
    jobs = training_jobs.newest_jobs(database, limit=len(JobKind), active=True)
    rejected = ended if ended and ended.rejected else None
    if rejected and any(promotion.version == rejected.version for promotion in registry.promotions()):
        rejected = None
    return VersionState(model, jobs, missing, newest is None, ended, rejected)


def request_due_version(
    database: Database, registry: Registry, requested_by: str, actor: Actor | None = None
) -> None:
    """Request the next version if it is due: after each stored answer, wherever it was given.

    Repeating it is harmless: at most one job of a kind is active. An outage fails no answer, because the answer is
    stored already; the next answer, or the page Start, requests the version.
    """
    try:
        _request_due_version(database, registry, requested_by, actor)
    except TriagemError as error:
        log.warning("version_not_requested", reason=str(error))


def _request_due_version(database: Database, registry: Registry, requested_by: str, actor: Actor | None) -> None:
    current = registry.find_current()
    if not _head_versions_continue(database, registry.manifest(current.version) if current else None):
        return
    answers, head = count_answers(database), training_jobs.newest_job(database, JobKind.HEAD)
    if not (head and head.active) and answers_to_version(answers, _answers(head)) == 0:
        parameters = {"answers": sum(answers.values())}
        training_jobs.request(database, JobKind.HEAD, requested_by=requested_by, parameters=parameters, actor=actor)


def request_due_questions(database: Database, state: LabellingState, requested_by: str) -> None:
    """Request the choice of the next questions if it is due. Repeating it is harmless."""
    embed = training_jobs.newest_job(database, JobKind.EMBED)
    if not (embed and embed.active) and questions_due(state, _answers(embed) if embed else None):
        parameters = {"answers": state.total}
        training_jobs.request(database, JobKind.EMBED, requested_by=requested_by, parameters=parameters)


def _head_versions_continue(database: Database, current: Manifest | None) -> bool:
    """Whether answers still make head versions: not once a full training has made the current version."""
    return current is None or made_from_answers(database, current)


def made_from_answers(database: Database, version: Manifest) -> bool:
    """Whether answers made the version, so that its metrics are cross-validated on them."""
    job = training_jobs.find(database, int(version.job.split()[0])) if version.job else None
    return job is not None and job.kind is JobKind.HEAD


def _answers(job: TrainingJob | None) -> int:
    return int(job.parameters.get("answers", 0)) if job else 0
