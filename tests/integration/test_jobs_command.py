"""`triagem jobs` and `triagem train --queue`."""

import json
import socket
import threading
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.version_history import promoted, reviewed, seen
from triagem.db import Database, training_jobs
from triagem.db.training_jobs import JobKind


def test_a_queued_training_is_a_job_with_its_options(triagem: Triagem, database: Database) -> None:
    answer = triagem("train", "data", "--from", "v1.0.0", "--folds", "0", "--no-promote", "--queue")

    (job,) = training_jobs.newest_jobs(database, limit=9)
    assert answer.status == 0
    assert "job 1, full: queued" in answer.out
    assert "`triagem jobs show 1 --watch`" in answer.out
    assert job.parameters["data"].endswith("/data")
    wanted = {"reviews": False, "base": None, "parent": "v1.0.0", "settings": {"folds": 0}, "promote": "propose"}
    assert {**job.parameters, **wanted} == job.parameters


def test_a_queued_training_has_the_settings_of_the_environment_in_which_it_was_requested(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_TRAIN_BASE", "e5")
    monkeypatch.setenv("TRIAGEM_TRAIN_NUM_TRAIN_EPOCHS", "2")
    triagem("train", "data", "--folds", "0", "--queue")

    (job,) = training_jobs.newest_jobs(database, limit=9)
    assert job.parameters["settings"] == {"base": "e5", "num_train_epochs": 2, "folds": 0}


def test_a_repeated_request_prints_the_same_job_and_another_one_is_refused(triagem: Triagem) -> None:
    first, again = (json.loads(triagem("train", "data", "--queue", "--json").out) for _ in range(2))

    assert first == again
    assert_one_line(triagem("train", "other", "--queue"), "job 1 of the kind full is queued", "triagem jobs cancel 1")


@pytest.mark.parametrize("hangs", [False, True])
def test_a_job_is_requested_while_redis_does_not_answer(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if hangs else 1
        monkeypatch.setenv("TRIAGEM_BROKER_URL", f"redis://127.0.0.1:{port}/1")
        answer = triagem("retrain")
        if hangs:
            assert server.accept()[0].recv(9) == b"PING\r\n", "Celery, which waits for longer, was asked"

    assert answer.status == 0
    assert "job 1, full: queued" in answer.out
    assert answer.err.startswith(
        "Redis does not answer, but job 1 is stored: a running `triagem trainer` finds it by itself\n"
    )


def test_a_retraining_that_may_have_no_rows_is_requested_with_a_note(
    triagem: Triagem, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no text is reviewed: unless TRIAGEM_TRAINER_DATA gives the trainer" in triagem("retrain").err
    monkeypatch.setenv("TRIAGEM_TRAINER_DATA", "data")
    assert triagem("retrain").err == ""


@pytest.mark.parametrize("learned", [["a"], []])
def test_a_retraining_without_a_new_text_is_requested_with_a_note(
    triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learned: list[str]
) -> None:
    registry = promoted(tmp_path / "models", seen=seen(train=learned))
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
    reviewed(database, "a", "venda")

    answer = triagem("retrain")

    assert answer.status == 0
    assert ("no reviewed text is new to v1.0.0" in answer.err) is bool(learned)


def test_a_retraining_is_requested_although_the_registry_cannot_be_read(
    triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = promoted(tmp_path / "models", seen=seen(train=["a"]))
    (registry.folder("v1.0.0") / "manifest.json").write_text("{")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))

    answer = triagem("retrain")

    assert (answer.status, answer.err) == (0, "")
    assert "job 1, full: queued" in answer.out


def test_a_request_with_leakage_allowed_is_a_usage_error(triagem: Triagem) -> None:
    assert triagem("train", "data", "--queue", "--allow-leakage").status == 2


def test_jobs_are_listed_newest_first(triagem: Triagem, database: Database) -> None:
    for kind in (JobKind.HEAD, JobKind.FULL):
        training_jobs.request(database, kind, requested_by="ana")

    listed = json.loads(triagem("jobs", "list", "--json").out)
    table = triagem("jobs", "list").out

    assert [(job["id"], job["kind"], job["state"]) for job in listed] == [
        (2, "full", "queued"),
        (1, "head", "queued"),
    ]
    assert "requested by" in table
    assert "ana" in table


def test_a_job_is_cancelled_once(triagem: Triagem) -> None:
    triagem("train", "data", "--queue")

    assert "job 1, full: cancelled" in triagem("jobs", "cancel", "1").out
    assert_one_line(triagem("jobs", "cancel", "1"), "job 1 cannot be cancelled: it is cancelled already")


def test_an_unknown_job_is_an_error(triagem: Triagem) -> None:
    assert_one_line(triagem("jobs", "show", "7"), "there is no job 7", "`triagem jobs list` shows all")


def test_watching_ends_with_the_job_and_a_failure_sets_the_exit_status(triagem: Triagem, database: Database) -> None:
    triagem("train", "data", "--queue")
    training_jobs.claim(database, "a", lease_s=60)
    training_jobs.report(database, 1, "a", "train", 0.5)
    threading.Timer(0.5, lambda: training_jobs.fail(database, 1, "a", "no rows")).start()

    answer = triagem("jobs", "show", "1", "--watch")

    assert answer.status == 1
    assert "job 1: train" in answer.err
    assert "job 1, full: failed" in answer.out
    assert "no rows" in answer.out


def test_the_exit_status_tells_a_rejected_version_from_a_failed_job(triagem: Triagem, database: Database) -> None:
    for outcome in ("promoted", "proposed", "rejected"):
        triagem("train", "data", "--queue")
        training_jobs.claim(database, "a", lease_s=60)
        job, *_ = training_jobs.newest_jobs(database, limit=1)
        training_jobs.finish(database, job.id, "a", "v1.0.0", outcome)
    triagem("train", "data", "--queue")
    triagem("jobs", "cancel", "4")

    assert [triagem("jobs", "show", str(number), "--json").status for number in range(1, 5)] == [0, 0, 3, 1]
    assert "`triagem models compare v1.0.0` shows why" in triagem("jobs", "show", "3").out
