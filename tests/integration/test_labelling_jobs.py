"""The jobs of the start page, on a small real BERT: the next questions, then a version that everybody reviews."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.builders import NOW
from tests.support.conversations import ManualWorker, entries, message
from tests.support.results import insert_unlabelled
from tests.support.scored_versions import register_tested
from tests.support.small_bert import tiny_unigram_base
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE
from triagem.contracts.ticket import Identity
from triagem.db import Database, training_jobs
from triagem.db.labels import change_label
from triagem.db.model_versions import record_promotion, record_version
from triagem.db.reviews import record_review
from triagem.db.reviews.labelling import PoolText, QuestionKind, labelling_state, next_question, read_pool
from triagem.db.training_jobs import JobKind
from triagem.registry import Registry
from triagem.registry.records import read_trained_texts
from triagem.trainer.jobs.labelling import unique_texts
from triagem.trainer.jobs.run import run_job
from triagem.trainer.settings import TrainerSettings

QUOTE = "Quero um orçamento do plano anual para a minha empresa"
PROBLEM = "Minha internet caiu e o sistema não funciona desde ontem"
SAMPLE = Path(__file__).parent.parent.parent / "examples" / "train.jsonl"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_unigram_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def labels(database: Database) -> dict[str, str]:
    """Sixty texts in the database, and the right label of each."""
    for label in ("suporte", "venda"):
        change_label(database, label, description=f"about {label}", new=True)
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    truth = {row["prompt"]: row["completion"] for row in rows[:60]}
    for number, text in enumerate(truth):
        insert_unlabelled(database, str(number), text=text)
    return truth


def run(database: Database, registry: Registry, base: str, kind: JobKind) -> None:
    training_jobs.request(database, kind, requested_by="owner")
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job
    run_job(database, registry, TrainerSettings(base=base), job.id, "trainer")
    finished = training_jobs.find(database, job.id)
    assert finished
    assert finished.state == "done", finished.error


def test_a_training_does_not_replace_a_registry_folder_that_is_gone(database: Database, tmp_path: Path) -> None:
    record_version(database, "v1.0.0", manifest_digest=b"", created_at=NOW, labels=["suporte"])
    record_promotion(database, 1, "v1.0.0", NOW)
    training_jobs.request(database, JobKind.FULL, requested_by="owner")
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job

    run_job(database, Registry(tmp_path / "models"), TrainerSettings(), job.id, "trainer")

    finished = training_jobs.find(database, job.id)
    assert finished
    assert "models is gone: check TRIAGEM_REGISTRY_URL, or restore it" in (finished.error or "")
    assert not (tmp_path / "models").exists()


def answer_all(database: Database, labels: dict[str, str]) -> list[str]:
    """Answer the questions that a job has chosen; returns their kinds."""
    kinds = []
    for _ in range(labelling_state(database).questions):
        question = next_question(database, "owner")
        assert question
        record_review(
            database, Identity(question.source, question.external_id), labels[question.text], "owner",
            digest=question.digest, kind=question.kind,
        )  # fmt: skip
        kinds.append(str(question.kind))
    return kinds


def test_questions_are_chosen_a_version_is_trained_and_the_progress_estimated(
    database: Database, labels: dict[str, str], base: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "models")

    run(database, registry, base, JobKind.EMBED)
    assert answer_all(database, labels) == ["chosen"] * 10
    run(database, registry, base, JobKind.EMBED)
    assert set(answer_all(database, labels)) == {"random", "chosen"}
    run(database, registry, base, JobKind.HEAD)

    state = labelling_state(database)
    assert state.questions == 10
    assert state.progress
    assert state.progress.answers == 20
    head = training_jobs.newest_job(database, JobKind.HEAD)
    assert head
    assert head.parameters["answers"] == 20  # those that it was trained on, also if people answered while it waited
    manifest = registry.manifest(registry.current().version)
    assert set(manifest.labels) == {"suporte", "venda"}
    assert not manifest.thresholds.automate
    report = (registry.folder(manifest.version) / REPORT_FILE).read_text(encoding="utf-8")
    assert "reviewed ticket, digest" in report
    page = (registry.folder(manifest.version) / HTML_REPORT_FILE).read_text(encoding="utf-8")
    assert "everything is reviewed" in page
    assert copies(tmp_path, labels) == []


def test_a_version_that_was_trained_on_a_part_of_a_conversation_was_trained_on_the_conversation(
    database: Database, labels: dict[str, str], base: str, tmp_path: Path
) -> None:
    registry, worker = Registry(tmp_path / "models"), ManualWorker(database)
    for entry in entries([message("1", QUOTE, external_id="talk"), message("2", PROBLEM, external_id="talk")]):
        worker.process([entry])
    record_review(database, Identity("zendesk", "talk"), "suporte", "owner")
    for number, label in enumerate([*labels.values()][:20]):
        record_review(database, Identity("zendesk", str(number)), label, "owner", kind=QuestionKind.CHOSEN)

    run(database, registry, base, JobKind.HEAD)

    (digest,) = database.scalars("SELECT encode(digest, 'hex') FROM tickets WHERE external_id = 'talk'")
    assert digest in (read_trained_texts(registry, "v1.0.0") or ())


def test_the_job_of_a_rejected_version_has_the_reasons_of_the_gate(
    database: Database, labels: dict[str, str], base: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "models")
    for _ in range(2):
        run(database, registry, base, JobKind.EMBED)
        answer_all(database, labels)
    run(database, registry, base, JobKind.HEAD)

    run(database, registry, base, JobKind.HEAD)  # the same answers make no better version

    job = training_jobs.newest_job(database, JobKind.HEAD)
    assert job
    assert job.rejected
    assert "test rows" in (job.error or "") or "accuracy" in (job.error or "")
    assert registry.current().version == "v1.0.0"


def test_before_any_answer_the_labels_of_the_current_version_are_asked_for(
    database: Database, base: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "models")
    register_tested(registry)
    registry.promote("v1.0.0")
    for number, text in enumerate((QUOTE, PROBLEM)):
        insert_unlabelled(database, str(number), text=text)

    run(database, registry, base, JobKind.EMBED)

    assert labelling_state(database).questions == 2


def copies(folder: Path, texts: Iterable[str]) -> list[Path]:
    """The files of the trainer and of its versions that contain a ticket's text, plain or escaped."""
    written = {text.encode() for text in texts} | {json.dumps(text)[1:-1].encode() for text in texts}
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [path for path, content in files.items() if any(text in content for text in written)]


def test_each_text_is_in_the_pool_once_and_texts_without_a_label_are_left_out() -> None:
    def text(number: int, content: str, *labels: str) -> PoolText:
        return PoolText(number, b"", content, labels, None)

    copies = [text(1, "minha internet caiu"), text(2, "minha internet caiu", "suporte"), text(3, "!!!")]

    stored, cleaned = unique_texts(copies)

    assert [item.ticket_id for item in stored] == [2]
    assert cleaned == ["minha internet caiu"]


def test_of_a_conversation_the_part_that_the_label_is_about_is_in_the_pool(database: Database) -> None:
    """The stored text is already clean, so a worker classifies it unchanged."""
    worker = ManualWorker(database)
    for entry in entries([message("1", QUOTE), message("2", PROBLEM, minute=1), message("3", "Obrigado!", minute=2)]):
        worker.process([entry])

    (stored,), (cleaned,) = unique_texts(read_pool(database))

    assert (stored.text, cleaned) == (f"{QUOTE}\n\n{PROBLEM}", PROBLEM)
