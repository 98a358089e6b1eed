"""The trainings on the console's page of models."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.console import Person
from tests.support.gateway import services
from tests.support.manifests import ROOT
from triagem.db import Database, training_jobs
from triagem.db.auth import Scope
from triagem.db.reviews import AccuracyEstimate
from triagem.db.reviews.expected import ExpectedAccuracy, store_accuracy_report
from triagem.db.training_jobs import JobKind
from triagem.gateway.console.messages import MESSAGES
from triagem.gateway.services import Services
from triagem.inbox import Inbox

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models)


@pytest.fixture
def admin(opened: Services) -> Person:
    return Person(opened, Scope.ADMIN)


def test_a_requested_training_proposes_its_version_and_a_second_request_finds_it(
    admin: Person, database: Database
) -> None:
    page = admin.see("models")
    assert "No trainings yet" in page

    assert "Training 1 is queued." in admin.send("training", page, action="train")
    assert "Training 1 is not finished yet." in admin.send("training", page, action="train")

    (job,) = training_jobs.newest_jobs(database, limit=9)
    assert (job.kind, job.requested_by, job.parameters) == (JobKind.FULL, "ana", {"promote": "propose"})


def test_a_scheduled_training_names_the_schedule_in_portuguese(admin: Person, database: Database) -> None:
    training_jobs.request(database, JobKind.FULL, requested_by="schedule")

    assert "<td>agendamento</td>" in admin.see("models", lang="pt")


def test_a_running_training_shows_its_progress_and_can_be_cancelled(admin: Person, database: Database) -> None:
    training_jobs.request(database, JobKind.HEAD, requested_by=EVIL)
    training_jobs.claim(database, "a", lease_s=60)
    training_jobs.report(database, 1, "a", "train", 0.25)

    page = admin.see("models")
    assert 'value="0.25"' in page
    assert "25" in page
    assert EVIL not in page

    assert "Training 1 was cancelled." in admin.send("training", page, action="cancel")
    assert "Training 1 had already ended." in admin.send("training", page, action="cancel")


def test_a_finished_training_shows_its_outcome(admin: Person, database: Database) -> None:
    for outcome in ("promoted", "failed", "done"):
        training_jobs.request(database, JobKind.FULL, requested_by="ana")
        job = training_jobs.claim(database, "a", lease_s=60)
        assert job
        if outcome == "failed":
            training_jobs.fail(database, job.id, "a", "no rows\ntoo few texts")
        else:
            training_jobs.finish(database, job.id, "a", "v1.1.0", outcome)

    page = admin.see("models")

    assert "became current" in page
    assert "<td>done</td><td></td>" in page
    assert 'href="/console/model?version=v1.1.0"' in page
    assert "no rows;" in page
    assert "too few texts<" in page


def test_the_chart_shows_the_expected_accuracy_with_the_reviews_interval(admin: Person, database: Database) -> None:
    assert "No figures yet" in admin.see("models")
    reviewed = AccuracyEstimate(0.75, 0.7, 0.8, 900, 120, 120, 0, 0, (), 0.95)
    for days_ago, estimate in ((1, None), (0, reviewed)):
        day = datetime.now(UTC) - timedelta(days=days_ago)
        store_accuracy_report(database, "v1.0.0", ExpectedAccuracy(9, 0.95, estimate), day)
        assert admin.see("models").count(f"<span>{day:%Y-%m-%d}</span>") == 1

    page = admin.see("models")

    assert '<circle cx="120.0" cy="25.0"' in page  # 95 % of 70 to 100 %, the first of two days
    assert '<line class="arm" x1="360.0" x2="360.0" y1="150.0" y2="100.0">' in page
    assert page.count('class="arm"') == 2
    assert "by reviews 75.0% (70.0% to 80.0%, 120 randomly sampled texts)" in page
    assert "The reviews contradict the confidences" in page


def test_a_read_key_sees_trainings_and_requests_none(opened: Services, database: Database) -> None:
    training_jobs.request(database, JobKind.FULL, requested_by="ana")
    reader = Person(opened, Scope.READ)

    page = reader.see("models")
    token = page.split('name="token" value="')[1][:64]

    assert 'action="/console/training"' not in page
    assert "queued" in page
    assert reader.http.post("/console/training", data={"token": token, "action": "train"}).status_code == 403


def test_each_stage_and_kind_has_a_name_in_both_languages() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "trainer" / "jobs").glob("*.py")]
    reported = {stage for source in sources for stage in re.findall(r'\breport\("(\w+)"', source)}

    assert {"train", "choose"} <= reported
    stages = {*reported, "promoted", "rejected", "proposed"}
    assert {f"stage_{stage}" for stage in stages} | {f"training_{kind}" for kind in JobKind} <= MESSAGES.keys()
