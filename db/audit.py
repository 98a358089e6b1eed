"""The audit trail: who did what to which object, from where, when, and with which outcome. It contains no texts.

The table is append-only: the database refuses to change a row, or to delete a row of the last 30 days
(`schema/audit.sql`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from triagem.db.connect import Database

KEPT_DAYS: Final = 30  # as in schema/audit.sql


# An action that the audit trail records.
Action = Literal[
    "login", "logout", "key.create", "key.revoke", "ticket.forget", "dead-letter.replay", "dead-letter.drop",
    "model.promote", "model.rollback", "model.archive", "training.request", "training.cancel",
    "training.finish", "label.set", "label.reject", "run.start", "run.cancel", "data.delete",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Actor:
    """The actor of an action, with the IP address: an API key such as `key 3 (shop)`, a person at a terminal, the
    schedule, or a training."""

    name: str
    address: str = ""


SCHEDULE: Final = Actor("schedule")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A recorded action. `object` is what the action changed or read, such as `zendesk/4711`."""

    id: int
    at: datetime
    actor: str
    address: str
    action: str
    object: str
    outcome: str


_INSERT: Final = """
INSERT INTO audit (actor, address, action, object, outcome) VALUES (:actor, :address, :action, :object, :outcome)
"""
_INSERT_ONCE: Final = """
INSERT INTO audit (actor, address, action, object, outcome)
SELECT :actor, :address, :action, :object, 'done'
WHERE NOT EXISTS (SELECT FROM audit WHERE (actor, action, object) = (:actor, :action, :object))
"""
_LIST: Final = """
SELECT id, at, actor, address, action, object, outcome FROM audit
WHERE (CAST(:actor AS text) IS NULL OR strpos(actor, :actor) > 0)
  AND (CAST(:action AS text) IS NULL OR action = :action)
  AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
ORDER BY id DESC LIMIT :limit
"""


def record(database: Database, actor: Actor, action: Action, target: str, outcome: str = "done") -> None:
    """Add a row. Raises DatabaseUnavailable."""
    database.execute(_INSERT, actor=actor.name, address=actor.address, action=action, object=target, outcome=outcome)


def record_once(database: Database, actor: Actor, action: Action, target: str) -> None:
    """Add a row unless the actor has one of this action and object: for actions that are repeated after a kill."""
    database.execute(_INSERT_ONCE, actor=actor.name, address=actor.address, action=action, object=target)


def list_audit(
    database: Database,
    *,
    limit: int,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
) -> list[AuditEntry]:
    """Recorded actions, newest first. Filters: part of the actor's name, the action, the earliest time."""
    return [AuditEntry(*row) for row in database.rows(_LIST, limit=limit, actor=actor, action=action, since=since)]
