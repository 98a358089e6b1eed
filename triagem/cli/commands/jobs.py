"""`triagem jobs`, `retrain`, `due` and `drift`: shows and requests training jobs, and checks if one is due."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from triagem import servers
from triagem.cli.commands.access import command_actor, record_action, user_name
from triagem.cli.options import ACTION_NEEDED, AsJson
from triagem.cli.output import as_mapping, errors, print_answer, print_json, print_lines, print_rows
from triagem.cli.progress import progress
from triagem.cli.stores import CheckFailed, answering
from triagem.contracts.errors import InvalidInput, TriagemError
from triagem.db import Database, training_jobs
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.ops.labelling import made_from_answers
from triagem.registry import Registry
from triagem.trainer.monitor.due import (
    check_due,
    distances,
    read_facts,
    rolled_back_version,
    unpromoted_version,
)
from triagem.trainer.settings import DueSettings, TrainerSettings

jobs = typer.Typer(
    no_args_is_help=True, help="Training jobs, which `triagem trainer` runs: list, show, watch, cancel."
)

_Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="Number of the job.")]
_ENDED = {"done": "it is done", "failed": "it has already failed", "cancelled": "it is cancelled already"}
_COLUMNS = ("id", "kind", "state", "stage", "done", "version", "requested_by", "requested_at")


@jobs.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List training jobs, newest first.

    Example: `triagem jobs list`
    """
    with servers.database() as database:
        newest = training_jobs.newest_jobs(database, limit=limit)
    rows = [as_mapping(job) | {"done": f"{job.fraction:.0%}" if job.state == "running" else ""} for job in newest]
    if as_json:
        print_json(newest)
    else:
        print_rows(rows, _COLUMNS, empty="no jobs: `triagem retrain` and `triagem train --queue` request one")


@jobs.command()
def show(
    job_id: _Id,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the progress until the job has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a job. The exit status is 1 if it failed or was cancelled, 3 if the gate rejected its version.

    Example: `triagem jobs show 3 --watch`
    """
    with servers.database() as database:
        job = _watch(database, job_id) if watch else _find(database, job_id)
    print_answer(job, _describe(job), as_json=as_json)
    if job.state in {"failed", "cancelled"}:
        raise typer.Exit(1)
    if job.rejected:
        raise typer.Exit(ACTION_NEEDED)


@jobs.command()
def cancel(job_id: _Id, *, as_json: AsJson = False) -> None:
    """Cancel a job that is queued or running. The job creates no version.

    Example: `triagem jobs cancel 3`
    """
    with servers.database() as database:
        if not training_jobs.cancel(database, job_id):
            raise InvalidInput(f"job {job_id} cannot be cancelled: {_ENDED[_find(database, job_id).state]}")
        record_action(database, "training.cancel", f"training {job_id}")
        job = _find(database, job_id)
    print_answer(job, _describe(job), as_json=as_json)


def request_job(kind: JobKind, parameters: Mapping[str, Any], *, as_json: bool) -> None:
    """Request a training job, wake the trainer, and print the job.

    A repeated request prints the active job. Raises InvalidInput if the active job has other parameters.
    """
    from triagem.broker import broker_url
    from triagem.trainer.app import wake_trainer

    with servers.database() as database:
        job, is_new = training_jobs.request(
            database, kind, requested_by=user_name(), parameters=parameters, actor=command_actor()
        )
    if not is_new and job.parameters != parameters:
        raise InvalidInput(
            f"job {job.id} of the kind {kind} is {job.state}, with other parameters: wait for it, or cancel it with "
            f"`triagem jobs cancel {job.id}`"
        )
    url = broker_url()
    try:
        with answering(url, "TRIAGEM_BROKER_URL"):
            woken = wake_trainer(url)
    except CheckFailed:
        woken = False
    if not woken:
        note = f"Redis does not answer, but job {job.id} is stored: a running `triagem trainer` finds it by itself"
        print_lines(note, screen=errors)
    print_answer(job, [*_describe(job), f"  follow it: `triagem jobs show {job.id} --watch`"], as_json=as_json)


def _describe(job: TrainingJob) -> Iterator[str]:
    stage = f", {job.stage}" if job.stage else ""
    done = f" {job.fraction:.0%}" if job.state == "running" and job.fraction else ""
    yield f"job {job.id}, {job.kind}: {job.state}{stage}{done}"
    if job.version:
        command = "compare" if job.rejected else "show"
        yield f"  version {job.version}: `triagem models {command} {job.version}`" + (
            " shows why" if job.rejected else ""
        )
    yield from (f"  {line}" for line in (job.error or "").splitlines())
    yield f"  requested by {job.requested_by} at {job.requested_at:%Y-%m-%d %H:%M} UTC"


def _find(database: Database, job_id: int) -> TrainingJob:
    job = training_jobs.find(database, job_id)
    if job is None:
        raise InvalidInput(f"there is no job {job_id}: `triagem jobs list` shows all")
    return job


def _watch(database: Database, job_id: int) -> TrainingJob:
    """Follow a job and return it when it has ended. Shows a bar, or without a terminal a line per stage."""
    job, printed = _find(database, job_id), ""
    with progress("", 100) as update:
        while job.active:
            description = f"job {job.id}: {job.stage or job.state}"
            update(description=description, completed=round(100 * job.fraction))
            if not errors.is_terminal and description != printed:
                print_lines(description, screen=errors)
                printed = description
            time.sleep(1)
            job = _find(database, job_id)
    return job


def due(*, as_json: AsJson = False) -> None:
    """Report whether the current model should be retrained, and why. The exit status is 3 if so, 0 if not.

    Example: `triagem due || triagem alerts list`
    """
    rules, registry = DueSettings(), servers.registry()
    with servers.database() as database:
        facts = read_facts(database, registry, datetime.now(UTC))
        proposed = unpromoted_version(database, registry, "proposed")
        newest = unpromoted_version(database, registry, "proposed", "rejected")
        manifest = registry.manifest(facts.version)
        from_answers = made_from_answers(database, manifest)
    rolled_back = None if newest else rolled_back_version(registry)
    reasons, limits = check_due(facts, rules), [*distances(facts, rules)]
    rejected = None if proposed else newest
    lines = [f"retraining of {facts.version} is not due: it exceeds no limit"]
    if reasons:
        lines = [f"retraining of {facts.version} is due:"]
        lines += [f"  {reason.trigger}: {reason.message}" for reason in reasons]
        lines.append("not due for:")
    due_for = {reason.trigger for reason in reasons}
    lines += [f"  {limit.trigger}: {limit.message}" for limit in limits if limit.trigger not in due_for]
    # A version from answers has only a trained head, which no training continues.
    start = f"--from {facts.version}" if manifest.pooling == "first" else f"--base {manifest.base}"
    if reasons and from_answers:
        lines += [
            "next: answer more on the console's page Start, which trains a version after every ten answers; with",
            f"      other labelled rows, in DATA_DIR: `triagem train DATA_DIR {start}`",
        ]
    elif reasons and not rolled_back:
        lines += [
            "next: `triagem retrain`, if `triagem trainer` runs; otherwise `triagem review export new.jsonl`, then",
            f"      `triagem train DATA_DIR {start}` with these rows in DATA_DIR",
        ]
    if proposed:
        lines.append(
            f"{proposed} is proposed and waits for a person: `triagem reclassify diff` shows what it changes, "
            f"`triagem models promote {proposed}` makes it current"
        )
    elif rejected:
        lines.append(
            f"the gate rejected {rejected}, the newest training: `triagem models compare {rejected}` shows why"
        )
    elif rolled_back:
        lines.append(
            f"{rolled_back} was rolled back: a training on the same rows would repeat its mistakes; review more of "
            "them before `triagem retrain`"
        )
    if newest := newest or rolled_back:
        lines.append(f"the schedule (TRIAGEM_RETRAIN_AT) waits until {newest} itself exceeds one of these limits")
    figures = [{"trigger": limit.trigger, "value": limit.value, "limit": limit.limit} for limit in limits]
    answer = {
        "due": bool(reasons), "reasons": reasons, "distances": figures, "facts": facts, "proposed": proposed,
        "rejected": rejected, "rolled_back": rolled_back,
    }  # fmt: skip
    print_answer(answer, lines, as_json=as_json)
    if reasons:
        raise typer.Exit(ACTION_NEEDED)


def drift(*, as_json: AsJson = False) -> None:
    """Compare samples of recent live tickets with the current version's reference, and store the report.

    The exit status is 3 on drift, 0 without drift or with too few samples. docs/how-to/drift.md has the method.

    Example: `triagem drift`
    """
    from triagem.trainer.monitor.drift import check

    with servers.database() as database:
        report = check(database, servers.registry())
    print_answer(as_mapping(report) | {"drifted": report.drifted}, report.lines(), as_json=as_json)
    if report.drifted:
        raise typer.Exit(ACTION_NEEDED)


def retrain(
    *,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make the version current if it passes the gate; default: propose it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Request a training on the rows of TRIAGEM_TRAINER_DATA and the agreed labels of reviews.

    `triagem trainer` runs the job. A version that passes the gate is proposed: workers classify recent tickets with
    it without changing results, and a person compares (`triagem reclassify diff`) and promotes it.
    TRIAGEM_RETRAIN_AT requests the same training by schedule.

    Example: `triagem retrain`
    """
    request_job(JobKind.FULL, {"promote": "auto" if promote else "propose"}, as_json=as_json)
    with suppress(TriagemError), servers.database() as database:  # the job is stored, whatever can be read now
        print_lines(*_missing_rows(database, servers.registry()), screen=errors)


def _missing_rows(database: Database, registry: Registry) -> Iterator[str]:
    """A note if the reviews give a full training no new row. Only the trainer knows the rows of its folder."""
    facts = read_facts(database, registry, datetime.now(UTC)) if registry.find_current() else None
    if facts and facts.new_rows == 0:
        yield (
            f"no reviewed text is new to {facts.version}: without new rows in TRIAGEM_TRAINER_DATA or corrected "
            "labels, the job trains on the same rows again"
        )
    elif TrainerSettings().data is None and not database.scalar_one("SELECT EXISTS (SELECT FROM reviews)"):
        yield "no text is reviewed: unless TRIAGEM_TRAINER_DATA gives the trainer labelled rows, the job will fail"
