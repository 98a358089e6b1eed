"""Retraining by schedule and by command, and the outcome of its version."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_training_jobs import found, request
from tests.support.command import Triagem
from tests.support.reviewing import draw, submit_review, sure
from tests.support.scored_versions import current_and_better
from tests.support.training import tiny_base
from tests.support.version_history import promoted
from tests.support.windows import result as live_result
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import REPORT_FILE
from triagem.contracts.text import digest
from triagem.contracts.ticket import Identity
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import list_audit
from triagem.db.outbox.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.reviews.records import Unasked, record_correction
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.inbox import Inbox
from triagem.ops.forget import forget
from triagem.ops.retraining import request_due_retraining
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.registry.history import FIRST_HEAD
from triagem.registry.records import read_rows
from triagem.trainer.jobs import full
from triagem.trainer.jobs.run import JobLost, JobRun, promote_job_version, run_job
from triagem.trainer.jobs.trainer import Trainer
from triagem.trainer.settings import DueSettings, TrainerSettings

NOW = datetime.now(UTC)
NAME = "Zuleide Quaresma"
SETTINGS = {"folds": 2, "num_train_epochs": 1, "min_steps": 2, "eval_steps": 2, "warmup_steps": 0}


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


class TestNotPromoted:
    """v1.1.0 is proposed or rejected; v1.0.0, the current version, is due by its age."""

    @pytest.fixture(params=["proposed", "rejected"])
    def outcome(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def registry(self, database: Database, tmp_path: Path, outcome: str) -> Registry:
        registry = current_and_better(tmp_path / "models", created_at=NOW - timedelta(days=100))
        job = request(database, promote="propose")
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.finish(database, job.id, "trainer", "v1.1.0", outcome)
        return registry

    def requested(self, database: Database, registry: Registry, *, in_days: int = 0) -> bool:
        now = NOW + timedelta(days=in_days)
        return request_due_retraining(database, registry, DueSettings(), OpsSettings(), now) is not None

    def test_no_training_repeats_it(self, database: Database, registry: Registry) -> None:
        assert not self.requested(database, registry)

    def test_if_it_is_due_itself_a_training_replaces_it(self, database: Database, registry: Registry) -> None:
        assert self.requested(database, registry, in_days=100)

    def test_after_a_promotion_it_no_longer_counts(self, database: Database, registry: Registry) -> None:
        registry.promote("v1.1.0")
        registry.promote("v1.0.0")
        assert self.requested(database, registry)

    def test_due_names_it(
        self, triagem: Triagem, registry: Registry, outcome: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        command = "reclassify diff" if outcome == "proposed" else "models compare v1.1.0"
        assert f"`triagem {command}`" in triagem("due").out


class TestRolledBack:
    """v1.1.0 was promoted and rolled back; v1.0.0, the current version, is due by its age."""

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        registry = current_and_better(tmp_path / "models", created_at=NOW - timedelta(days=100))
        registry.promote("v1.1.0")
        registry.rollback()
        return registry

    def test_no_training_repeats_it(self, database: Database, registry: Registry) -> None:
        assert request_due_retraining(database, registry, DueSettings(), OpsSettings(), NOW) is None

    def test_if_it_is_due_itself_a_training_replaces_it(self, database: Database, registry: Registry) -> None:
        now = NOW + timedelta(days=100)
        assert request_due_retraining(database, registry, DueSettings(), OpsSettings(), now)

    def test_due_names_it(self, triagem: Triagem, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        reason = "v1.1.0 was rolled back: a training on the same rows would repeat its mistakes"
        answer = triagem("due").out
        assert reason in answer
        assert "next: " not in answer
        assert json.loads(triagem("due", "--json").out)["rolled_back"] == "v1.1.0"


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


@dataclass
class Ended:
    """A process that has ended."""

    exit_status: int = 0

    def stop(self, timeout_s: float) -> int:
        return self.exit_status


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def retraining(database: Database, base: str) -> TrainingJob:
    """A requested training on reviews of forty tickets that name their customer; every second label is wrong."""
    write_window(database, [sure(str(number), text=f"{NAME} {number} {number**5:x}") for number in range(40)])
    for task in draw(database, 40, random_share=1):
        submit_review(database, task.external_id, ("suporte", "venda")[int(task.external_id) // 2 % 2])
    return request(database, base=base, settings=SETTINGS)


def forget_all(database: Database, inbox: Inbox) -> None:
    for number in range(40):
        forget(database, inbox, Identity("zendesk", str(number)))


def files_with_the_name(folder: Path) -> list[str]:
    content = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [name for name, data in content.items() if any(word.encode() in data for word in NAME.split())]


def test_after_a_retraining_and_forget_no_file_has_the_customers_words(
    database: Database, inbox: Inbox, retraining: TrainingJob, tmp_path: Path
) -> None:
    registry, settings, during = Registry(tmp_path / "models"), TrainerSettings(), list[str]()

    def start(job: TrainingJob, trainer: str) -> Any:
        run_job(database, registry, settings, job.id, trainer)
        during.extend(files_with_the_name(tmp_path))
        assert {path.stat().st_mode & 0o077 for path in registry.work_dir.glob(".job-*")} == {0}
        return Ended()

    Trainer(database, registry.work_dir, settings, start).run_next()
    forget_all(database, inbox)

    assert found(database, retraining).version == "v1.0.0"
    report = json.loads((registry.folder("v1.0.0") / REPORT_FILE).read_text(encoding="utf-8"))
    assert {mistake["text"].partition(",")[0] for mistake in report["mistakes"]} == {"(reviewed ticket"}
    assert during == [f"models/.job-{retraining.id}/data-0/train.jsonl"]
    assert files_with_the_name(tmp_path) == []


def test_a_retraining_that_resumes_begins_again_without_the_tickets_forgotten_meanwhile(
    database: Database, inbox: Inbox, retraining: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job
    run = JobRun(job, "trainer", database, Registry(tmp_path / "models"), TrainerSettings())
    run.folder.mkdir(parents=True)

    def interrupted(*_: object, **__: object) -> None:
        raise JobLost

    monkeypatch.setattr(full, "train", interrupted)
    for _ in range(2):
        with pytest.raises(JobLost):
            full.train_full(run)
    assert files_with_the_name(tmp_path) == [f"models/.job-{retraining.id}/data-0/train.jsonl"]

    forget_all(database, inbox)
    with pytest.raises(InvalidInput, match="nothing to train on"):
        full.train_full(run)

    assert files_with_the_name(tmp_path) == []


def test_a_retraining_takes_few_new_reviews_of_one_person(
    database: Database, retraining: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forty reviews of one person are new to the current version, and the file has four rows."""
    data = tmp_path / "rows.csv"
    data.write_text("prompt,completion\n" + "".join(f"linha {n} {n**5:x},venda\n" for n in range(4)))
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job
    registry = promoted(tmp_path / "models", days_ago=1)
    run = JobRun(job, "trainer", database, registry, TrainerSettings(data=data))
    run.folder.mkdir(parents=True)
    written = list[str]()

    def interrupted(folder: Path, *_: object, **__: object) -> None:
        written.extend((folder / "train.jsonl").read_text(encoding="utf-8").splitlines())
        raise JobLost

    monkeypatch.setattr(full, "train", interrupted)
    with pytest.raises(JobLost):
        full.train_full(run)

    assert sum(NAME in row for row in written) == pytest.approx(4, abs=1)


def test_labels_of_closed_tickets_train_a_version_without_those_that_only_triagem_set(
    triagem: Triagem, database: Database, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CRM's export has the groups of 44 closed tickets. Triagem wrote four of them, and agents changed one of
    these; one group is neither support nor sales."""
    sync_result_targets(database, {"freshdesk.field": "freshdesk"})
    for number in range(4):
        write_window(database, [live_result(source="freshdesk", external_id=str(number), label="venda")])
        leased = lease_result(database, "freshdesk.field")
        assert leased
        mark_delivery(database, leased, DeliveryState.DELIVERED)
    record_correction(database, Identity("freshdesk", "3"), "suporte", "agente", Unasked.CRM)
    groups = ["Comercial"] * 3 + ["N1", "Fiscal"] + ["Comercial", "N1"] * 20
    texts = [f"{'preço' if group == 'Comercial' else 'erro'} {n} {n**5 + 7:x}" for n, group in enumerate(groups)]
    lines = [f"{number},{text},{group}" for number, (text, group) in enumerate(zip(texts, groups, strict=True))]
    export = tmp_path / "fechados.csv"
    export.write_text("\n".join(["Protocolo,Mensagem,Grupo", *lines]), encoding="utf-8")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"TRIAGEM_TRAIN_{name.upper()}", str(value))

    options = ("--label-column", "Grupo", "--label-map", "Comercial=venda,N1=suporte", "--crm", "freshdesk")
    outcome = triagem("train", str(export), *options, "--base", base, "--json")

    assert outcome.status in {0, 3}, outcome  # 3: the gate may reject a model after six steps
    registry = Registry(tmp_path / "models")
    version = json.loads(outcome.out)["manifest"]["version"]
    rows = read_rows(registry, version)
    assert rows
    used = {*rows.train, *rows.dev, *rows.calibration, *rows.test}
    assert used == {digest(text).hex() for text in [texts[3], *texts[5:]]}
    assert registry.manifest(version).labels == ("suporte", "venda")
