"""The table of training jobs: requests, leases and outcomes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.integration.test_old_rows import execute
from triagem.db import Database, training_jobs
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.ops.retention import delete_old_data

LEASE_S = 60.0


def request(database: Database, kind: JobKind = JobKind.FULL, **parameters: object) -> TrainingJob:
    return training_jobs.request(database, kind, requested_by="ana", parameters=parameters)[0]


def claim(database: Database, trainer: str = "a") -> TrainingJob | None:
    return training_jobs.claim(database, trainer, lease_s=LEASE_S)


def found(database: Database, job: TrainingJob) -> TrainingJob:
    """The job as it is now."""
    now = training_jobs.find(database, job.id)
    assert now
    return now


def abandon(database: Database) -> None:
    """Change the job as if its trainer had died, and its lease had expired."""
    execute(database, "UPDATE training_jobs SET heartbeat_at = now() - interval '61 seconds' WHERE state = 'running'")


def test_a_second_request_returns_the_active_job_with_its_own_parameters(database: Database) -> None:
    first, is_new = training_jobs.request(database, JobKind.FULL, requested_by="ana", parameters={"parent": "v1.0.0"})
    second, is_second_new = training_jobs.request(database, JobKind.FULL, requested_by="rui")

    assert (is_new, is_second_new) == (True, False)
    assert second == first
    assert (first.state, first.requested_by, first.parameters) == ("queued", "ana", {"parent": "v1.0.0"})


def test_concurrent_requests_make_one_job_of_each_kind(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = set(pool.map(lambda kind: request(database, kind).id, [JobKind.FULL, JobKind.HEAD] * 8))

    assert len(jobs) == len(training_jobs.newest_jobs(database, limit=99)) == 2


def test_of_several_trainers_one_gets_the_job_and_no_other_job_runs_meanwhile(database: Database) -> None:
    for kind in JobKind:
        request(database, kind)
    with ThreadPoolExecutor(8) as pool:
        claimed = [job for job in pool.map(lambda name: claim(database, f"trainer {name}"), range(8)) if job]

    assert [(job.kind, job.state, job.attempts) for job in claimed] == [(JobKind.EMBED, "running", 1)]


def test_a_full_training_waits_for_the_short_jobs(database: Database) -> None:
    for kind in (JobKind.FULL, JobKind.HEAD):
        request(database, kind)

    job = claim(database)

    assert job
    assert job.kind is JobKind.HEAD


def test_a_job_is_taken_over_only_when_its_lease_has_expired(database: Database) -> None:
    job = request(database)
    first = claim(database)
    assert claim(database, "b") is None

    abandon(database)
    second = claim(database, "b")

    assert first
    assert second
    assert (second.id, second.attempts, second.started_at) == (job.id, 2, first.started_at)


def test_the_previous_trainer_of_a_job_changes_nothing_anymore(database: Database) -> None:
    job = request(database)
    claim(database)
    abandon(database)
    claim(database, "b")
    before = found(database, job)

    assert not training_jobs.renew(database, job.id, "a")
    assert not training_jobs.report(database, job.id, "a", "train", 0.5)
    assert not training_jobs.release(database, job.id, "a")
    assert not training_jobs.fail(database, job.id, "a", "lost")
    assert not training_jobs.finish(database, job.id, "a", "v1.0.0", "promoted")

    assert found(database, job) == before


def test_a_renewed_lease_keeps_the_job(database: Database) -> None:
    job = request(database)
    claim(database)
    abandon(database)

    assert training_jobs.renew(database, job.id, "a")

    assert claim(database, "b") is None


def test_progress_and_outcome_are_recorded(database: Database) -> None:
    job = request(database)
    claim(database)

    training_jobs.report(database, job.id, "a", "train", 0.25)
    running = found(database, job)
    training_jobs.finish(database, job.id, "a", "v1.1.0", "promoted")
    done = found(database, job)

    assert (running.stage, running.fraction) == ("train", 0.25)
    assert (done.state, done.stage, done.version, done.active) == ("done", "promoted", "v1.1.0", False)
    assert done.finished_at
    assert request(database).id != job.id


def test_a_failed_job_has_its_diagnosis(database: Database) -> None:
    job = request(database)
    claim(database)

    training_jobs.fail(database, job.id, "a", "no rows")

    assert (found(database, job).state, found(database, job).error) == ("failed", "no rows")


@pytest.mark.parametrize("outcome", ["promoted", "proposed", "rejected", "failed"])
def test_the_end_of_a_full_training_raises_one_alert(database: Database, outcome: str) -> None:
    job = request(database)
    claim(database)

    for _ in range(2):
        if outcome == "failed":
            training_jobs.fail(database, job.id, "a", "no rows")
        else:
            training_jobs.finish(database, job.id, "a", "v1.1.0", outcome)

    (alert,) = newest_alerts(database, limit=9)
    assert (alert.kind, alert.about, (alert.detail or {})["outcome"]) == ("training-ended", "training 1", outcome)
    assert alert.summary
    assert (f"jobs show {job.id}" if outcome == "failed" else "v1.1.0") in alert.summary


def test_the_end_of_a_training_after_ten_answers_raises_none(database: Database) -> None:
    job, _ = training_jobs.request(database, JobKind.HEAD, requested_by="ana")
    claim(database)

    training_jobs.finish(database, job.id, "a", "v1.0.0", "promoted")

    assert newest_alerts(database, limit=9) == []


@pytest.mark.parametrize("is_running", [False, True])
def test_a_cancelled_job_is_over_at_once(database: Database, is_running: bool) -> None:
    job = request(database)
    if is_running:
        claim(database)

    assert training_jobs.cancel(database, job.id)

    assert found(database, job).state == "cancelled"
    assert not training_jobs.cancel(database, job.id)
    assert not training_jobs.renew(database, job.id, "a")
    assert claim(database) is None


@pytest.mark.parametrize(("interrupted", "attempts"), [(False, 2), (True, 1)])
def test_a_released_job_is_taken_next_and_a_trainer_that_stops_costs_no_attempt(
    database: Database, interrupted: bool, attempts: int
) -> None:
    job = request(database)
    claim(database)

    training_jobs.release(database, job.id, "a", interrupted=interrupted)

    taken = claim(database, "b")
    assert taken
    assert (taken.id, taken.attempts) == (job.id, attempts)


def test_jobs_that_ended_long_ago_are_deleted(database: Database) -> None:
    for state in ("cancelled", "queued"):
        job = request(database)
        if state == "cancelled":
            training_jobs.cancel(database, job.id)
    execute(
        database,
        "UPDATE training_jobs SET requested_at = '2020-01-01',"
        " finished_at = CASE WHEN finished_at IS NOT NULL THEN timestamptz '2020-01-02' END",
    )

    deleted = delete_old_data(database, {"training_jobs": 365}, now=datetime.now(UTC))

    assert sum(number for _, number in deleted) == 1
    assert [job.state for job in training_jobs.newest_jobs(database, limit=9)] == ["queued"]
