"""Retraining on unsolicited verdicts: how many are used, on which rows they are tested, and the gate's decision."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sqlalchemy import text

from tests.support.reviewing import draw, submit_review, sure
from tests.support.scored_versions import register_tested
from triagem.contracts.model import ScoredRow
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews.agreed_labels import LabelledExample
from triagem.db.reviews.records import Unasked, record_correction
from triagem.db.tickets.window import write_window
from triagem.registry import Registry
from triagem.registry.decision import Promote, Reject
from triagem.registry.promote import evaluate_version
from triagem.trainer.active.linear import fit_head
from triagem.trainer.data.rows import Corpus, Row
from triagem.trainer.data.split import split
from triagem.trainer.jobs.full import MAX_REVIEWER_SHARE, MAX_SOURCE_SHARE, limit_unasked, write_training_data

LABELS = ("suporte", "venda")


def correction(number: int, reviewer: str, *, stratum: str = "crm", source: str = "zendesk") -> LabelledExample:
    return LabelledExample(f"text {number}", "venda", None, stratum, None, (), reviewer, source)


def test_corrections_of_one_reviewer_or_crm_are_few_of_the_training_rows() -> None:
    requested = [correction(number, "ana", stratum="random") for number in range(100)]
    repeated = [correction(number, "zendesk:1") for number in range(100, 400)]
    crowd = [correction(number, f"zendesk:{number}") for number in range(400, 800)]

    kept = Counter(example.reviewer for example in limit_unasked([*requested, *crowd, *repeated], others=200))

    assert kept["ana"] == 100
    assert kept["zendesk:1"] == MAX_REVIEWER_SHARE * 1000
    assert kept.total() - kept["ana"] == MAX_SOURCE_SHARE * 1000


def test_the_newest_corrections_stay() -> None:
    examples = [correction(number, "zendesk:1") for number in range(10)]

    assert limit_unasked(examples, others=0) == examples[-2:]


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
