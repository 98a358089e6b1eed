"""Builds texts for review, assigns them and records reviews."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.support.results import result
from triagem.contracts.model import SplitDigests
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import ReviewTask, draw_tasks, record_review
from triagem.db.tickets.window import ClassifiedTicket

NOW: Final = datetime.now(UTC) - timedelta(hours=1)
SINCE: Final = NOW - timedelta(days=30)
VERSION: Final = "v1.0.0"


def sure(name: str, **changes: Any) -> ClassifiedTicket:
    """A result in the band `automate`."""
    return result(name, **{"text": f"text {name}", "received_at": NOW, "classified_at": NOW, **changes})


def unsure(name: str, confidence: float = 0.6, **changes: Any) -> ClassifiedTicket:
    """A result in the band `review`."""
    return sure(name, **{"confidence": confidence, "band": Band.REVIEW, **changes})


def draw(database: Database, count: int = 100, *, reviewer: str = "ana", **options: Any) -> list[ReviewTask]:
    """Assign texts, by default without random sampling."""
    settings = {"version": VERSION, "since": SINCE, "rng": random.Random(1), "random_share": 0.0, **options}
    return draw_tasks(database, reviewer, count, **settings)


def trained_on(*names: object) -> SplitDigests:
    """The rows of a version that was trained on the texts of these tickets."""
    return SplitDigests(train=tuple(sure(f"{name}").digest.hex() for name in names), dev=(), calibration=(), test=())


def submit_review(database: Database, name: str, label: str | None = "venda", reviewer: str = "ana") -> int:
    """Record a review of that ticket."""
    outcome = record_review(database, Identity("zendesk", name), label, reviewer)
    assert isinstance(outcome, int)
    return outcome
