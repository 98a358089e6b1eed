"""A head version from forty answers, on a real small BERT: trained, registered, and served by the worker."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sqlalchemy import text

from tests.support.pipeline import publish, running, stored
from tests.support.waiting import until
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import Manifest
from triagem.contracts.prediction import Thresholds
from triagem.contracts.text import clean, digest
from triagem.db import Database
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.engine.classify import EngineSettings, classify, load
from triagem.inbox import Inbox
from triagem.registry import Registry
from triagem.registry.records import read_record
from triagem.stack import Endpoints
from triagem.trainer.active.embeddings import embed_texts
from triagem.trainer.active.pool import Answer, Pool
from triagem.trainer.active.selection import next_questions
from triagem.trainer.active.version import answers_to_proof, prove_precision, train_head_version
from triagem.trainer.bases.catalogue import MINILM
from triagem.trainer.fit import base_choice

SAMPLE = Path(__file__).parent.parent.parent / "examples" / "train.jsonl"
LABELS = ("suporte", "venda")


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    """Different English texts of the sample, and their labels."""
    lines = map(json.loads, SAMPLE.read_text(encoding="utf-8").splitlines())
    return list({clean(line["prompt"]): line["completion"] for line in lines if line["lang"] == "en"}.items())[:150]


@pytest.fixture(scope="module")
def texts(rows: list[tuple[str, str]]) -> list[str]:
    return [row[0] for row in rows]


@pytest.fixture(scope="module")
def embeddings(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    return embed_texts(MINILM.name, texts, tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def pool(rows: list[tuple[str, str]], embeddings: NDArray[np.float32]) -> Pool:
    """Forty answers to the questions asked."""
    pool = Pool(embeddings, LABELS)
    while len(pool.answers) < 40:
        new = [Answer(question.text, rows[question.text][1], question.random) for question in next_questions(pool)]
        pool = Pool(embeddings, LABELS, (*pool.answers, *new))
    return pool


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("heads") / "models")


@pytest.fixture(scope="module")
def head(registry: Registry, pool: Pool, texts: list[str]) -> tuple[Manifest, int | None]:
    return train_head_version(registry, pool, texts, MINILM.name)


def test_the_engine_predicts_what_the_head_predicts(
    head: tuple[Manifest, int | None], registry: Registry, pool: Pool, texts: list[str]
) -> None:
    model = load(registry.folder(head[0].version), EngineSettings(device="cpu", precision="fp32"))

    served = np.array(classify(model, texts))

    expected = softmax(pool.fit().logits(pool.points) / head[0].temperature, axis=1)
    assert np.abs(served - expected).max() < 0.05  # the embeddings may have been computed in bf16


def test_most_texts_get_their_label(
    head: tuple[Manifest, int | None], registry: Registry, rows: list[tuple[str, str]], texts: list[str]
) -> None:
    predicted = np.array(classify(load(registry.folder(head[0].version)), texts)).argmax(axis=1)

    assert np.mean([LABELS[label] == row[1] for label, row in zip(predicted, rows, strict=True)]) > 0.75


def test_until_the_precision_is_proved_the_worker_reviews_everything_and_tells_nobody(
    head: tuple[Manifest, int | None], registry: Registry, endpoints: Endpoints, inbox: Inbox, database: Database
) -> None:
    registry.promote(head[0].version)
    sync_result_targets(database, {"crm.callback": "crm"})
    publish(inbox, 40)

    with running(endpoints, registry.root, load):
        until(lambda: stored(database) == 40)

    with database.autocommit() as connection:
        bands = connection.execute(text("SELECT DISTINCT band FROM tickets")).scalars().all()
        notified = connection.execute(text("SELECT count(*) FROM deliveries UNION SELECT count(*) FROM alerts"))
        assert notified.scalars().all() == [0]
    assert bands == ["review"]
    assert head[1] is None or head[1] > 0


def test_the_gate_reads_the_out_of_fold_predictions_of_the_random_answers(
    head: tuple[Manifest, int | None], registry: Registry, pool: Pool
) -> None:
    record = read_record(registry, head[0].version)

    drawn = sum(answer.random for answer in pool.labelled)
    assert not record.gaps
    assert len(record.predictions) == drawn
    assert len(record.trained_on) == 40 - drawn


def test_a_label_with_a_single_answer_waits_for_the_next_version(
    registry: Registry, pool: Pool, texts: list[str]
) -> None:
    answers = (*pool.answers[:-1], Answer(pool.answers[-1].text, "outra"))
    manifest, _ = train_head_version(registry, Pool(pool.embeddings, (*LABELS, "outra"), answers), texts, MINILM.name)

    assert manifest.labels == LABELS


def test_one_label_trains_no_head(registry: Registry, pool: Pool, texts: list[str]) -> None:
    answers = tuple(answer for answer in pool.answers if answer.label == "venda")

    with pytest.raises(InvalidInput, match="suporte 0, venda"):
        train_head_version(registry, Pool(pool.embeddings, LABELS, answers), texts, MINILM.name)


@pytest.mark.parametrize(("random_answers", "automate"), [(80, True), (40, False)])
def test_only_random_answers_prove_the_precision(random_answers: int, automate: bool) -> None:
    drawn = np.arange(200) < random_answers
    probabilities, truth = np.tile([0.02, 0.98], (200, 1)), np.ones(200, dtype=np.intp)

    proof, thresholds = prove_precision(probabilities, truth, drawn)

    assert thresholds.automate is automate
    assert (answers_to_proof(proof, 200, random_answers) == 0) is automate
    if not automate:
        assert thresholds == Thresholds(automate=False)
        assert answers_to_proof(proof, 200, random_answers) == 100  # 19 more random questions: a fifth of the answers


def test_a_text_is_embedded_once_and_forgotten_with_the_next_call(
    tmp_path: Path, texts: list[str], embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def embed(base: str, missing: Sequence[str], _max_tokens: int) -> Any:
        computed.extend(missing)
        return np.ones((len(missing), 4)) * next(len(text) for text in missing)

    monkeypatch.setattr(base_choice, "embed", embed)
    first = embed_texts(MINILM.name, texts[:1], tmp_path)
    again = embed_texts(MINILM.name, [texts[1], texts[0]], tmp_path)
    embed_texts(MINILM.name, texts[1:2], tmp_path)

    assert computed == texts[:2]
    assert (again[1] == first[0]).all()
    (file,) = tmp_path.iterdir()
    assert sqlite3.connect(file).execute("SELECT count(*) FROM embeddings").fetchone() == (1,)
    assert first[0].tobytes() not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_the_current_version_predicts_the_new_test_rows_for_the_gate(
    pool: Pool, texts: list[str], rows: list[tuple[str, str]], tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "models")
    train_head_version(registry, Pool(pool.embeddings, LABELS, pool.answers[:20]), texts, MINILM.name)
    registry.promote("v1.0.0")
    train_head_version(registry, pool, texts, MINILM.name)

    own, more = read_record(registry, "v1.0.0"), read_record(registry, "v1.0.0", scored_by="v1.1.0")

    assert more.predictions.keys() == own.predictions.keys() | read_record(registry, "v1.1.0").predictions.keys()
    new = {clean_digest: text for text, _ in rows if (clean_digest := digest(text).hex()) in more.predictions}
    new = {name: text for name, text in new.items() if name not in own.predictions}
    served = classify(load(registry.folder("v1.0.0")), list(new.values()))
    assert len(new) >= 5
    stored_predictions = [more.predictions[name].probabilities for name in new]
    assert np.abs(np.array(stored_predictions) - np.array(served)).max() < 0.05  # bf16 in other batches
