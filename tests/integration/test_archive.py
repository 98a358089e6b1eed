"""Old versions are archived by rule: their weights are deleted, and their records stay."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.test_training_jobs import request
from tests.support.command import Triagem
from tests.support.reviewing import sure
from tests.support.scored_versions import register_tested
from triagem.contracts.errors import InvalidInput, NoModel
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import list_audit
from triagem.db.retention import purge_texts
from triagem.db.runs import RunPlan
from triagem.db.tickets.window import write_window
from triagem.registry import Registry
from triagem.registry.records import read_record
from triagem.trainer.jobs.run import JobRun, plan_archive, run_job
from triagem.trainer.settings import TrainerSettings


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triagem: Triagem) -> Registry:
    """Eight versions, of which v1.4.0 is current and v1.2.0 was before; the two newest are kept."""
    monkeypatch.setenv("TRIAGEM_KEEP_VERSIONS", "2")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    models = Registry(tmp_path / "models")
    for _ in range(8):
        register_tested(models, rows=2, learned=[7])
    for version in ("v1.2.0", "v1.4.0"):
        models.promote(version)
    return models


@pytest.fixture
def in_use(database: Database, registry: Registry) -> Database:
    """A result of v1.0.0, a run of v1.1.0, and the proposed v1.3.0."""
    write_window(database, [sure("1")])
    runs.start(database, RunPlan("v1.1.0", 2, shadow=True))
    job = request(database)
    training_jobs.claim(database, "trainer", lease_s=60)
    training_jobs.finish(database, job.id, "trainer", "v1.3.0", "proposed")
    return database


def archived(database: Database, registry: Registry) -> list[str]:
    return [item.version for item in plan_archive(database, registry) if item.kept_for is None]


def test_only_versions_that_nothing_needs_are_archived(in_use: Database, registry: Registry) -> None:
    assert {item.version: item.kept_for for item in plan_archive(in_use, registry)} == {
        "v1.0.0": "results with a text are of it",
        "v1.1.0": "a run uses it",
        "v1.2.0": "a rollback returns to it",
        "v1.3.0": "proposed",
        "v1.4.0": "current",
        "v1.5.0": None,
        "v1.6.0": "one of the 2 newest",
        "v1.7.0": "one of the 2 newest",
    }


def test_a_version_is_kept_as_long_as_the_texts_of_its_results(in_use: Database, registry: Registry) -> None:
    list(purge_texts(in_use, before=datetime.now(UTC)))

    assert archived(in_use, registry) == ["v1.0.0", "v1.5.0"]


def test_the_command_first_shows_and_then_archives(in_use: Database, registry: Registry, triagem: Triagem) -> None:
    shown = json.loads(triagem("models", "archive", "--dry-run", "--json").out)
    before = registry.archived()
    done = triagem("models", "archive").out
    again = json.loads(triagem("models", "archive", "--json").out)

    assert (shown["archived"], before, again["archived"]) == (["v1.5.0"], {}, [])
    assert "v1.5.0: archived" in done
    assert "v1.4.0: kept, current" in done
    (entry,) = list_audit(in_use, action="model.archive", limit=9)
    assert entry.object == "v1.5.0"
    rows = {row["version"]: row["current"] for row in json.loads(triagem("models", "list", "--json").out)}
    assert (rows["v1.4.0"], rows["v1.5.0"], rows["v1.6.0"]) == ("*", "archived", "")


def test_the_end_of_a_training_archives(in_use: Database, registry: Registry) -> None:
    (run,) = runs.newest_runs(in_use)
    runs.cancel(in_use, run.id)
    job = request(in_use, promote="auto")
    training_jobs.claim(in_use, "trainer", lease_s=60)
    key = JobRun(job, "trainer", in_use, registry, TrainerSettings()).key
    register_tested(registry, rows=2, wrong=[0, 1], job=key)

    run_job(in_use, registry, TrainerSettings(), job.id, "trainer")

    assert [*registry.archived()] == ["v1.6.0", "v1.5.0", "v1.1.0"]
    assert {entry.actor for entry in list_audit(in_use, action="model.archive", limit=9)} == {f"training {job.id}"}


def test_an_archived_version_cannot_be_loaded_and_its_record_stays(registry: Registry) -> None:
    registry.archive("v1.5.0")
    registry.archive("v1.2.0")

    for load in (registry.folder, registry.verify, registry.promote):
        with pytest.raises(NoModel, match=r"v1\.5\.0 was archived"):
            load("v1.5.0")
    record = read_record(registry, "v1.5.0")
    assert (len(record.predictions), len(record.trained_on), record.gaps) == (2, 1, ())
    assert sorted(path.name for path in (registry.root / "v1.5.0").iterdir()) == [
        "manifest.json",
        "report.html",
        "report.pt-BR.html",
        "rows.json",
        "test_predictions.jsonl",
    ]
    with pytest.raises(NoModel, match=r"no version was current before"):  # the previous one has no weights
        registry.rollback()


def test_the_current_version_is_never_archived(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="is current"):
        registry.archive("v1.4.0")

    assert registry.verify("v1.4.0")
