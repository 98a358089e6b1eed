"""The life cycle of a model by the commands of docs/how-to/training.md: train, review, train further, compare,
promote while tickets come in, roll back.

Uses a very small BERT, a real worker, and rows that the model learns in a few steps.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import StartWorker
from tests.support.command import CommandResult, Triagem
from tests.support.training import tiny_base, write_made_up
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.registry import Registry

LABELS = ("suporte", "venda")
# Enough rows to prove that an equally good version is at most 0.01 worse.
TEST_ROWS = 300
FAST, SLOW = "3e-3", "1e-6"  # learning rates: one learns in a few steps, the other changes almost nothing
OTHER = {"suporte": "venda", "venda": "suporte"}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triagem: Triagem) -> Registry:
    """An empty registry, and settings with which a training run takes seconds."""
    settings = {
        "BASE": tiny_base(tmp_path / "base"), "MIN_STEPS": "90", "NUM_TRAIN_EPOCHS": "1", "LEARNING_RATE": FAST,
        "FOLDS": "0",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"TRIAGEM_TRAIN_{name}", value)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    return Registry(tmp_path / "models")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows whose label is their first word, in nine of ten cases."""
    (folder := tmp_path / "data").mkdir()
    return write_made_up(folder, *LABELS, train_rows=120, test_rows=TEST_ROWS)


def output_of(answer: CommandResult, status: int = 0) -> str:
    """The output of a command, which must have ended with this status."""
    assert answer.status == status, answer
    return answer.out


def relabelled(data: Path, folder: Path) -> Path:
    """The same rows, each with the wrong label."""
    folder.mkdir()
    rows = [json.loads(line) for line in (data / "train.jsonl").read_text("utf-8").splitlines()]
    wrong = [{**row, "prompt": row["prompt"] + " x", "completion": OTHER[row["completion"]]} for row in rows]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wrong), "utf-8")
    (folder / "test.jsonl").write_bytes((data / "test.jsonl").read_bytes())
    return folder


class Customers:
    """Publish tickets, each with its own number."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox, self.written = inbox, 0

    def write(self, number: int) -> None:
        numbered = [(LABELS[index % 2], index) for index in range(self.written, self.written + number)]
        rows: list[TicketFields] = [
            {"source": "crm", "external_id": str(index), "text": f"{label} bilhete {index} {label}"}
            for label, index in numbered
        ]
        Publisher(self.inbox).publish_many(rows)
        self.written += number


def stored(database: Database) -> Counter[str]:
    """The number of tickets by the model version of their current result."""
    with database.autocommit() as connection:
        rows: Any = connection.execute(text("SELECT model_version, count(*) FROM tickets GROUP BY 1")).all()
    return Counter(dict(map(tuple, rows)))


def test_train_review_retrain_compare_promote_and_roll_back(  # noqa: PLR0917 - every package takes part
    triagem: Triagem,
    models: Registry,
    data: Path,
    tmp_path: Path,
    inbox: Inbox,
    database: Database,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Train: there is no version to compare the first one with, so it becomes current if it is better than guessing.
    first = json.loads(output_of(triagem("train", str(data), "--json")))
    assert first["gate"]["decision"] == "promote"
    assert models.current().version == "v1.0.0"

    # Review: a person labels some texts, and these become training rows, except for test rows.
    start_worker(models.root, "triagem.engine.classify:load", TRIAGEM_POLL_EVERY_S="0.2")
    customers = Customers(inbox)
    customers.write(60)
    until(lambda: stored(database).total() == 60, seconds=120)
    queue = json.loads(output_of(triagem("review", "next", "--limit", "20", "--random-share", "0.5", "--json")))
    for ticket in queue:
        output_of(triagem("review", "label", ticket["source"], ticket["external_id"], ticket["text"].split()[0]))
    estimate = json.loads(output_of(triagem("review", "accuracy", "--json")))["accuracy"]
    assert estimate["low"] <= estimate["value"] <= estimate["high"]
    output_of(triagem("review", "export", str(tmp_path / "reviews.jsonl")))
    reviewed = (tmp_path / "reviews.jsonl").read_text("utf-8")
    assert len(reviewed.splitlines()) == len(queue) == 20
    with (data / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(reviewed)

    # Train further. The default rule rejects the version: no significant improvement. `non-inferior` accepts it.
    monkeypatch.setenv("TRIAGEM_TRAIN_LEARNING_RATE", SLOW)
    output_of(triagem("train", str(data), "--from", "v1.0.0"), status=3)
    assert models.manifest("v1.1.0").parent == "v1.0.0"
    assert models.current().version == "v1.0.0"
    assert "required is +0.020" in output_of(triagem("models", "promote", "v1.1.0"), status=3)
    output_of(triagem("models", "compare", "v1.1.0", "--rule", "non-inferior"))

    # An artificially worse version is rejected by any rule and does not become current.
    monkeypatch.setenv("TRIAGEM_TRAIN_LEARNING_RATE", FAST)
    wrong = str(relabelled(data, tmp_path / "wrong"))
    output_of(triagem("train", wrong, "--from", "v1.1.0", "--allow-leakage"), status=3)
    rejection = json.loads(
        output_of(triagem("models", "promote", "v1.2.0", "--rule", "non-inferior", "--json"), status=3)
    )
    assert any("accuracy" in reason for reason in rejection["reasons"])
    assert models.current().version == "v1.0.0"

    # Promote while tickets come in, and roll back with one command: each ticket has exactly one result.
    customers.write(200)
    output_of(triagem("models", "promote", "v1.1.0", "--rule", "non-inferior"))
    until(lambda: second_version_classifies(customers, database), seconds=60)
    output_of(triagem("models", "rollback"))
    assert (models.current().version, models.current().epoch) == ("v1.0.0", 3)
    customers.write(50)
    until(lambda: stored(database).total() == customers.written, seconds=120)
    with database.autocommit() as connection:
        predictions = connection.execute(text("SELECT count(*) FROM predictions")).scalar_one()
    assert predictions == customers.written
    assert set(stored(database)) == {"v1.0.0", "v1.1.0"}


def second_version_classifies(customers: Customers, database: Database) -> bool:
    """Publish one more ticket; return whether the second version has classified a ticket yet."""
    customers.write(1)
    return stored(database)["v1.1.0"] > 0
