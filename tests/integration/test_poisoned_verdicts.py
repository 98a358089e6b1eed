"""Retraining on verdicts of few people: how many are used, on which rows they are tested, and the gate's decision."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.reviewing import draw, submit_review, sure
from tests.support.scored_versions import register_tested
from tests.support.training import Steps, tiny_base
from tests.support.version_history import promoted, reviewed, seen
from triagem.contracts.model import ScoredRow
from triagem.contracts.ticket import Identity
from triagem.db import Database, training_jobs
from triagem.db.reviews import record_review
from triagem.db.reviews.agreed_labels import LabelledExample, labelled_examples
from triagem.db.reviews.records import Unasked, record_correction
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.registry import Registry
from triagem.registry.decision import Promote, Reject
from triagem.registry.promote import evaluate_version
from triagem.trainer import TrainSettings, train
from triagem.trainer.active.linear import fit_head
from triagem.trainer.data.rows import Corpus, Row
from triagem.trainer.data.split import split
from triagem.trainer.jobs.full import (
    MAX_REVIEWER_SHARE,
    MAX_SOURCE_SHARE,
    LearnedReviews,
    learned_reviews,
    limit_reviewers,
    write_training_data,
)
from triagem.trainer.jobs.run import run_job
from triagem.trainer.settings import TrainerSettings

LABELS = ("suporte", "venda")
EARLY, LATE = NOW - timedelta(days=9), NOW


def labelled(
    number: int, reviewer: str, *, stratum: str | None = "crm", reviewed_at: datetime = LATE
) -> LabelledExample:
    digest = number.to_bytes(2)
    return LabelledExample(
        f"text {number}", "venda", None, stratum, None, (), reviewer, "zendesk", reviewed_at, digest
    )


def by_reviewer(examples: Sequence[LabelledExample]) -> Counter[str]:
    return Counter(example.reviewer for example in examples)


def test_corrections_of_one_reviewer_or_crm_are_few_of_the_training_rows() -> None:
    requested = [labelled(number, "ana", stratum="random") for number in range(100)]
    repeated = [labelled(number, "zendesk:1") for number in range(100, 400)]
    crowd = [labelled(number, f"zendesk:{number}") for number in range(400, 800)]

    kept = by_reviewer(limit_reviewers([*requested, *crowd, *repeated], others=200))

    rows = kept.total() + 200
    assert kept["ana"] == 100
    assert 0 <= kept["zendesk:1"] - MAX_REVIEWER_SHARE * rows < 1
    assert 0 <= kept.total() - kept["ana"] - MAX_SOURCE_SHARE * rows < 1


def test_the_newest_corrections_stay() -> None:
    examples = [labelled(number, "zendesk:1") for number in range(10)]

    assert limit_reviewers(examples, others=8) == examples[-3:]


class TestRequestedReviews:
    """Reviews in the console; the current version has learned those of the first 300 texts."""

    LEARNED = LearnedReviews({number.to_bytes(2).hex() for number in range(300)}, EARLY)

    def test_a_persons_new_reviews_are_at_most_an_equal_share_of_the_training_rows(self) -> None:
        before = [labelled(number, "ana", stratum="unsure", reviewed_at=EARLY) for number in range(300)]
        new = [labelled(number, "bob", stratum=None) for number in range(300, 350)]
        flood = [labelled(number, "eve", stratum="random") for number in range(350, 9000)]

        kept = by_reviewer(limit_reviewers([*before, *new, *flood], others=50, learned=self.LEARNED))

        assert (kept["ana"], kept["bob"]) == (300, 50)
        assert kept["eve"] == pytest.approx((kept.total() + 50) / 4, abs=1)  # three people, and the file

    def test_a_text_that_was_learned_and_reviewed_again_is_new(self) -> None:
        again = [labelled(number, "eve", stratum="unsure") for number in range(300)]

        assert len(limit_reviewers(again, others=50, learned=self.LEARNED)) == pytest.approx(50, abs=1)

    @pytest.mark.parametrize("learned", [LEARNED, None])
    def test_the_only_person_has_no_limit(self, learned: LearnedReviews | None) -> None:
        reviews = [labelled(number, "ana", stratum="unsure") for number in range(500)]

        assert limit_reviewers(reviews, others=0, learned=learned) == reviews

    def test_before_the_first_version_nobody_has_a_limit(self) -> None:
        reviews = [labelled(number, "ana" if number else "bob", stratum="chosen") for number in range(500)]

        assert limit_reviewers(reviews, others=10) == reviews

    def test_the_current_version_has_learned_its_rows_with_the_reviews_until_then(
        self, database: Database, tmp_path: Path
    ) -> None:
        for name in ("a", "b"):
            reviewed(database, name, "venda")
        made_later = promoted(tmp_path / "later", days_ago=-1, seen=seen(train=["a"]))
        made_before = promoted(tmp_path / "before", days_ago=1, seen=seen(train=["a"]))

        later, before = learned_reviews(made_later), learned_reviews(made_before)

        assert later is not None
        assert before is not None
        examples = [item for item in labelled_examples(database) if isinstance(item, LabelledExample)]
        assert {item.prompt for item in examples if item in later} == {"a"}
        assert not any(item in before for item in examples)
        assert learned_reviews(Registry(tmp_path / "empty")) is None


def test_the_written_rows_say_how_they_were_chosen(database: Database, tmp_path: Path) -> None:
    write_window(database, [sure(str(number), label="venda") for number in range(3)])
    (task,) = draw(database, 1, random_share=1)
    submit_review(database, task.external_id, "venda")
    record_correction(
        database, Identity("zendesk", str((int(task.external_id) + 1) % 3)), "suporte", "1", Unasked.CRM
    )
    with database.autocommit() as connection:  # texts are sampled in advance
        connection.execute(text("DELETE FROM review_draws WHERE leased_by IS NULL"))
    submit_review(database, str((int(task.external_id) + 2) % 3), "venda")

    write_training_data(tmp_path / "data", None, database)

    rows = [json.loads(line) for line in (tmp_path / "data" / "train.jsonl").read_text().splitlines()]
    assert sorted(row["stratum"] for row in rows) == ["chosen", "crm", "random"]


def test_test_rows_are_drawn_from_the_random_stratum() -> None:
    rng = np.random.default_rng(1)

    def rows(stratum: str) -> list[Row]:
        words = ["".join(map(chr, rng.integers(97, 123, size=24))) for _ in range(100)]
        return [Row(word, LABELS[number % 2], stratum=stratum) for number, word in enumerate(words)]

    parts = split(Corpus(LABELS, (*rows("crm"), *rows("random"), *rows("unsure"))), seed=1)

    assert {row.stratum for row in parts.test} == {"random"}


@pytest.mark.parametrize(("poisoned", "decision"), [(0, Promote), (900, Reject)])
def test_the_gate_rejects_a_version_that_learned_poisoned_verdicts(
    tmp_path: Path, poisoned: int, decision: type
) -> None:
    """A head is retrained on many corrections to a wrong label. The test rows come from people's reviews."""
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=1500)
    points = rng.normal(size=(1500, 16)) + truth[:, None] * 0.7
    test, first, more = slice(0, 500), slice(500, 530), slice(530, 1500)
    taught = truth.copy()
    taught[600 : 600 + poisoned] = 1

    def predictions(rows: list[int]) -> list[ScoredRow]:
        probabilities = softmax(fit_head(points[rows], taught[rows], 2).logits(points[test]), axis=1)
        return [
            ScoredRow(digest=f"{row:064x}", label=LABELS[label], probabilities=tuple(line))
            for row, (label, line) in enumerate(zip(truth[test], probabilities.tolist(), strict=True))
        ]

    registry = Registry(tmp_path)
    every = list(range(1500))
    register_tested(registry, predictions=predictions(every[first]))
    registry.promote("v1.0.0")
    register_tested(registry, predictions=predictions(every[first] + every[more]))

    assert isinstance(evaluate_version(registry, "v1.1.0"), decision)


RETRAIN: dict[str, Any] = {
    "folds": 0,
    "num_train_epochs": 1,
    "min_steps": 120,
    "eval_steps": 20,
    "warmup_steps": 0,
    "learning_rate": 1e-3,
}


def made_up(number: int, rng: random.Random) -> list[tuple[str, str]]:
    """Texts and their right labels: each text names its label."""
    words = ["".join(rng.choices("abcdefghilmnoprstuv", k=6)) for _ in range(3 * number)]
    labels = [LABELS[index % 2] for index in range(number)]
    return [
        (f"{label} {' '.join(words[3 * index : 3 * index + 3])} {label}", label) for index, label in enumerate(labels)
    ]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A registry whose current version has learned nothing, and the base of its versions."""
    folder = tmp_path_factory.mktemp("untrained")
    base, rows = tiny_base(folder / "base"), made_up(60, random.Random(1))
    lines = [json.dumps({"prompt": text, "completion": label}) for text, label in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    settings = TrainSettings(**RETRAIN | {"min_steps": 1, "learning_rate": 1e-9})
    registry = Registry(folder / "models")
    train(folder / "rows.jsonl", registry, settings, Steps(), base=base, promote=False)
    registry.promote("v1.0.0")
    return registry.root, base


@pytest.mark.parametrize(("poisoned", "outcome"), [(False, "promoted"), (True, "rejected")])
def test_a_full_retraining_on_corrections_is_promoted_and_on_poisoned_ones_rejected(
    database: Database, untrained: tuple[Path, str], tmp_path: Path, *, poisoned: bool, outcome: str
) -> None:
    """Agents of two CRMs correct two thirds of the texts. The test rows are among the texts reviewed at random."""
    models, base = untrained
    registry = Registry(shutil.copytree(models, tmp_path / "models"))
    texts = {str(number): row for number, row in enumerate(made_up(240, random.Random(2)))}
    other = {"suporte": "venda", "venda": "suporte"}
    given = {name: "suporte" if poisoned else label for name, (_, label) in texts.items()}
    sources = {name: ("zendesk", "freshdesk")[int(name) // 2 % 2] for name in texts}
    write_window(
        database,
        [sure(name, source=sources[name], text=text, label=other[given[name]]) for name, (text, _) in texts.items()],
    )
    drawn = draw(database, 80, random_share=1)
    for task in drawn:
        record_review(database, Identity(task.source, task.external_id), texts[task.external_id][1], "ana")
    for name in sorted(texts.keys() - {task.external_id for task in drawn}):
        agent = f"{sources[name]}:{int(name) % 20}"
        record_correction(database, Identity(sources[name], name), given[name], agent, Unasked.CRM)
    parameters = {"promote": "auto", "base": base, "settings": RETRAIN}
    training_jobs.request(database, JobKind.FULL, requested_by="schedule", parameters=parameters)
    job = training_jobs.claim(database, "trainer", lease_s=60)
    assert job

    run_job(database, registry, TrainerSettings(), job.id, "trainer")

    done = training_jobs.find(database, job.id)
    assert done
    assert (done.state, done.stage, done.version) == ("done", outcome, "v1.1.0"), done.error
    assert registry.current().version == ("v1.0.0" if poisoned else "v1.1.0")
