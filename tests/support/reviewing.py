"""Texts to be reviewed, and people who do it."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.support.results import result
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import Drawn, Verdict, draw, judge
from triagem.db.window import Classified

NOW: Final = datetime.now(UTC) - timedelta(hours=1)
SINCE: Final = NOW - timedelta(days=30)
VERSION: Final = "v1.0.0"


def sure(name: str, **changes: Any) -> Classified:
    """A result that may be acted on."""
    return result(name, **{"words": f"text {name}", "received_at": NOW, "classified_at": NOW, **changes})


def unsure(name: str, confidence: float = 0.6, **changes: Any) -> Classified:
    """A result that a person should look at."""
    return sure(name, **{"confidence": confidence, "band": Band.REVIEW, **changes})


def hand_out(database: Database, most: int = 100, *, reviewer: str = "ana", **options: Any) -> list[Drawn]:
    """Draw, by default no text by lot."""
    given = {"version": VERSION, "since": SINCE, "chance": random.Random(1), "random_share": 0.0, **options}
    return draw(database, reviewer, most, **given)


def give(database: Database, name: str, label: str | None = "venda", reviewer: str = "ana") -> Verdict:
    """A verdict on the ticket of that name."""
    verdict = judge(database, Identity("zendesk", name), label, reviewer)
    assert isinstance(verdict, Verdict)
    return verdict
