"""Retraining by schedule and by command, and the outcome of its version."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.test_training_jobs import request
from tests.support.command import Triagem
from tests.support.scored_versions import current_and_better
from tests.support.version_history import promoted
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import list_audit
from triagem.db.training_jobs import JobKind
from triagem.ops.retraining import request_due_retraining
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.trainer.jobs.run import FIRST_HEAD, promote_job_version
from triagem.trainer.settings import DueSettings

NOW = datetime.now(UTC)


def test_a_due_retraining_is_requested_once(database: Database, tmp_path: Path) -> None:
    registry = promoted(tmp_path / "models", days_ago=100)

    for _ in range(2):
        request_due_retraining(database, registry, DueSettings(), OpsSettings(), NOW)

    (job,) = training_jobs.newest_jobs(database, limit=9)
    assert (job.kind, job.requested_by, job.parameters) == (JobKind.FULL, "schedule", {"promote": "propose"})
    assert [(entry.actor, entry.action) for entry in list_audit(database, limit=9)] == [
        ("schedule", "training.request")
    ]


def test_a_version_that_is_not_due_is_left_alone(database: Database, tmp_path: Path) -> None:
    registry = promoted(tmp_path / "models", days_ago=1)

    assert request_due_retraining(database, registry, DueSettings(), OpsSettings(), NOW) is None

    assert training_jobs.newest_jobs(database, limit=9) == []


def test_the_command_proposes_by_default(triagem: Triagem) -> None:
    job = json.loads(triagem("retrain", "--json").out)
    triagem("jobs", "cancel", str(job["id"]))
    other = json.loads(triagem("retrain", "--promote", "--json").out)

    assert (job["parameters"], other["parameters"]) == ({"promote": "propose"}, {"promote": "auto"})


@pytest.mark.parametrize(("policy", "current"), [("propose", "v1.0.0"), ("auto", "v1.1.0")])
def test_a_better_version_is_proposed_with_a_shadow_run_or_promoted(
    database: Database, tmp_path: Path, policy: str, current: str
) -> None:
    registry = current_and_better(tmp_path / "models")
    job = request(database, promote=policy)

    outcome = promote_job_version(database, registry, "v1.1.0", job, NOW)

    run = runs.find(database)
    assert registry.current().version == current
    if policy == "propose":
        assert outcome == "proposed"
        assert run
        assert (run.version, run.shadow) == ("v1.1.0", True)
    else:
        assert outcome == "promoted"
        assert run is None
        assert promote_job_version(database, registry, "v1.1.0", job, NOW) == "promoted"
        assert len(registry.promotions()) == 2


def test_a_version_that_the_gate_rejects_stays_out(database: Database, tmp_path: Path) -> None:
    registry = current_and_better(tmp_path / "models")
    registry.promote("v1.1.0")
    registry.rollback()
    worse = Registry(registry.work_dir)
    with worse.staging() as staged:
        worse.register(staged, worse.manifest("v1.0.0"))

    assert promote_job_version(database, worse, "v1.2.0", request(database, promote="auto"), NOW) == "rejected"

    assert worse.current().version == "v1.0.0"
    assert runs.find(database) is None


def test_the_first_head_becomes_current_without_test_rows(database: Database, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    versions = current_and_better(tmp_path / "others")
    with registry.staging() as staged:
        registry.register(staged, versions.manifest("v1.0.0"))

    assert promote_job_version(database, registry, "v1.0.0", request(database, JobKind.HEAD), NOW) == "promoted"

    assert registry.promotions()[-1].reason == FIRST_HEAD
