"""Outcome of a fault, measured the same way for all faults."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from tests.faults.engine import expected_conversation_label
from tests.faults.expectations import EntryKey, Expectations, Identity, composed
from triagem.contracts.text import digest
from triagem.db import Database


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the result table.

    kills: workers or servers that were killed, and workers that crashed on poison.
    lost: accepted tickets whose newest revision has no correct current result, and poison without a dead letter.
    duplicate_rows: result rows beyond one per identity, and history rows beyond one per text and version.
    wrongly_dead: dead letters of valid entries.
    recovery_s: time from the end of the fault (server restarted, replacement started) to the first newly committed
        row; the longest if there are several; None if the fault has no end.
    """

    fault: str
    tickets: int
    kills: int
    lost: int
    duplicate_rows: int
    wrongly_dead: int
    recovery_s: float | None
    problem: str = ""

    @property
    def survived(self) -> bool:
        """Nothing lost, duplicated or wrongly dead-lettered, and the fault ran as intended."""
        return not (self.lost or self.duplicate_rows or self.wrongly_dead or self.problem)


@dataclass(frozen=True, slots=True)
class CurrentResult:
    """One row of `results`, with its ticket's digest."""

    key: Identity
    label: str
    version: str
    digest: bytes
    revised_at: datetime


@dataclass(frozen=True, slots=True)
class FinalState:
    """Contents of the database at the end."""

    results: list[CurrentResult]
    history: Counter[Identity]
    dead: dict[EntryKey, str]  # entry → reason


def evaluate(fault: str, expected: Expectations, state: FinalState, problem: str = "") -> Outcome:
    """Compare the expectations with the final state."""
    return Outcome(
        fault=fault,
        tickets=len(expected.revisions) + sum(key is None for key in expected.poison.values()),
        kills=expected.kills,
        lost=_lost(expected, state),
        duplicate_rows=_duplicates(expected, state),
        wrongly_dead=sum(entry not in expected.poison for entry in state.dead),
        recovery_s=max(expected.recoveries, default=None),
        problem=problem,
    )


def _lost(expected: Expectations, state: FinalState) -> int:
    results = {row.key: row for row in state.results}
    kept = sum(bool(state.dead.get(entry)) for entry in expected.poison)
    return (
        sum(not _is_correct(expected, key, results.get(key)) for key in expected.required)
        + len(expected.poison)
        - kept
    )


def _is_correct(expected: Expectations, key: Identity, row: CurrentResult | None) -> bool:
    newest = expected.newest_revision(key)
    parts = expected.parts(key)
    return row is not None and (
        (row.revised_at, row.digest) == (newest.revised_at, digest(composed(parts)))
        and row.label == expected_conversation_label(parts, row.version)
        and row.version == expected.current.get(key, row.version)
    )


def _duplicates(expected: Expectations, state: FinalState) -> int:
    results, required = Counter(row.key for row in state.results), expected.required
    extra_results = sum(count - (key in required) for key, count in results.items())
    return extra_results + sum(max(0, count - expected.max_history_rows(key)) for key, count in state.history.items())


def read_final_state(database: Database) -> FinalState:
    """Read the final state, through the views `history` and `results` that users query."""
    with database.autocommit() as connection:

        def rows(statement: str) -> list[Any]:
            return list(connection.execute(text(statement)))

        return FinalState(
            results=[
                CurrentResult(
                    (row.source, row.external_id), row.label, row.model_version, bytes(row.digest), row.revised_at
                )
                for row in rows("SELECT r.*, t.digest FROM results r JOIN tickets t ON t.id = r.ticket_id")
            ],
            history=Counter(
                (row.source, row.external_id)
                for row in rows("SELECT source, external_id FROM predictions JOIN tickets t ON t.id = ticket_id")
            ),
            dead={(row.lane, row.entry_id): row.reason for row in rows("SELECT * FROM dead_letters")},
        )
