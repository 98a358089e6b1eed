"""A model's life by its commands, as docs/training.md tells it: trained, reviewed, trained on, judged, swapped while
tickets come in, taken back. With the small BERT, a real worker, and rows that it learns in a few steps."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import StartWorker
from tests.support.command import CommandResult, Triagem
from tests.support.training import write_made_up
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.registry import Registry

LABELS = ("suporte", "venda")
# As many as it takes to show that a version just as good is not worse by 0.01: with fewer, nothing could show it.
TEST_ROWS = 300
FAST, SLOW = "3e-4", "1e-6"  # learning rates: to learn in a few steps, and to change next to nothing
OTHER = {"suporte": "venda", "venda": "suporte"}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triagem: Triagem) -> Registry:
    """An empty registry; a training takes some seconds."""
    for name, value in {"MIN_STEPS": "30", "NUM_TRAIN_EPOCHS": "1", "LEARNING_RATE": FAST, "FOLDS": "0"}.items():
        monkeypatch.setenv(f"TRIAGEM_TRAIN_{name}", value)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    return Registry(tmp_path / "models")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows whose label is their first word, in nine of ten."""
    (folder := tmp_path / "data").mkdir()
    return write_made_up(folder, *LABELS, train_rows=120, test_rows=TEST_ROWS)


def done(answer: CommandResult, status: int = 0) -> str:
    """What a command printed that ended so."""
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
    """Write tickets, each with a number of its own."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox, self.written = inbox, 0

    def write(self, number: int) -> None:
        words = [(LABELS[one % 2], one) for one in range(self.written, self.written + number)]
        rows: list[TicketFields] = [
            {"source": "crm", "external_id": str(one), "text": f"{label} bilhete {one} {label}"}
            for label, one in words
        ]
        Publisher(self.inbox).publish_many(rows)
        self.written += number


def stored(database: Database) -> Counter[str]:
    """Tickets by the version that their current result is of."""
    with database.autocommit() as connection:
        rows: Any = connection.execute(text("SELECT model_version, count(*) FROM tickets GROUP BY 1")).all()
    return Counter(dict(map(tuple, rows)))


def test_the_whole_life(  # noqa: PLR0917 - all rooms have a part in it
    triagem: Triagem,
    models: Registry,
    data: Path,
    tmp_path: Path,
    inbox: Inbox,
    database: Database,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Trained: the first version has nothing to be compared with, and is current when it is better than guessing.
    first = json.loads(done(triagem("train", str(data), "--json")))
    assert first["gate"]["decision"] == "promote"
    assert models.current().version == "v1.0.0"

    # Reviewed: a person says of some texts what they are, and that becomes data, but for what is tested on.
    start_worker(models.root, "triagem.engine.classify:load", TRIAGEM_POLL_EVERY_S="0.2")
    customers = Customers(inbox)
    customers.write(60)
    until(lambda: stored(database).total() == 60, seconds=120)
    asked = json.loads(done(triagem("review", "next", "--limit", "20", "--random-share", "0.5", "--json")))
    for one in asked:
        done(triagem("review", "label", one["source"], one["external_id"], one["text"].split()[0]))
    estimate = json.loads(done(triagem("review", "accuracy", "--json")))["accuracy"]
    assert estimate["low"] <= estimate["value"] <= estimate["high"]
    done(triagem("review", "export", str(tmp_path / "reviews.jsonl")))
    reviewed = (tmp_path / "reviews.jsonl").read_text("utf-8")
    assert len(reviewed.splitlines()) == len(asked) == 20
    with (data / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(reviewed)

    # Trained on. By the default rule nothing better than chance is shown, by the other that nothing got worse.
    monkeypatch.setenv("TRIAGEM_TRAIN_LEARNING_RATE", SLOW)
    done(triagem("train", str(data), "--from", "v1.0.0"))
    assert models.manifest("v1.1.0").parent == "v1.0.0"
    assert models.current().version == "v1.0.0"
    assert "required is +0.020" in done(triagem("models", "promote", "v1.1.0"), status=1)
    done(triagem("models", "compare", "v1.1.0", "--rule", "non-inferior"))

    # An artificially worse one is refused, by any rule, and stays out.
    monkeypatch.setenv("TRIAGEM_TRAIN_LEARNING_RATE", FAST)
    done(triagem("train", str(relabelled(data, tmp_path / "wrong")), "--from", "v1.1.0", "--allow-leakage"))
    said = json.loads(done(triagem("models", "promote", "v1.2.0", "--rule", "non-inferior", "--json"), status=1))
    assert any("accuracy" in reason for reason in said["reasons"])
    assert models.current().version == "v1.0.0"

    # Swapped while tickets come in, and taken back in one command: each ticket has its one result.
    customers.write(200)
    done(triagem("models", "promote", "v1.1.0", "--rule", "non-inferior"))
    until(lambda: by_the_second(customers, database), seconds=60)
    done(triagem("models", "rollback"))
    assert (models.current().version, models.current().epoch) == ("v1.0.0", 3)
    customers.write(50)
    until(lambda: stored(database).total() == customers.written, seconds=120)
    with database.autocommit() as connection:
        predictions = connection.execute(text("SELECT count(*) FROM predictions")).scalar_one()
    assert predictions == customers.written
    assert set(stored(database)) == {"v1.0.0", "v1.1.0"}


def by_the_second(customers: Customers, database: Database) -> bool:
    """One more ticket, and whether the second version has classified any by now."""
    customers.write(1)
    return stored(database)["v1.1.0"] > 0
