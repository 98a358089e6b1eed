"""API keys, and the console's login sessions, each of which an API key starts; and the audit trail.

A secret or session token is shown once when created, and stored as a hash. Keys are limited to scopes, and revocable.

The audit trail says who did what to which object, from where, when, and with which outcome. It contains no texts.
Its table is append-only: the database refuses to change a row, or to delete one of the last 30 days
(`schema/audit.sql`).
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Literal

from sqlalchemy import Row, text

from triagem.db.connect import Database

SESSION_LIFETIME: Final = timedelta(hours=12)
SESSION_IDLE_LIMIT: Final = timedelta(hours=1)
MAX_SESSIONS: Final = 5  # per key


class Scope(StrEnum):
    """A permission of a key."""

    ENQUEUE = "enqueue"
    READ = "read"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. With a `source`, the key submits tickets of that CRM only.

    `last_used_at` is exact to a minute, and is not set by the requests that a gateway answers from its cache.
    """

    id: int
    name: str
    scopes: frozenset[Scope]
    source: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


_INSERT_KEY: Final = text("""
INSERT INTO api_keys (name, hash, scopes, source, expires_at) VALUES (:name, :hash, :scopes, :source, :expires_at)
RETURNING *
""")
_FIND_KEY: Final = text("""
WITH used AS (
    UPDATE api_keys SET last_used_at = now()
    WHERE hash = :hash AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
)
SELECT * FROM api_keys WHERE hash = :hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
""")
_LIST_KEYS: Final = text("SELECT * FROM api_keys ORDER BY id")
_REVOKE_KEY: Final = text("UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")


def create_key(
    database: Database,
    name: str,
    scopes: Iterable[Scope],
    *,
    source: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; returns it with its secret, which cannot be read again later.

    The secret has 256 random bits, so a plain SHA-256 protects it as well as a slow hash protects a password.
    """
    secret = f"trg_{secrets.token_urlsafe(32)}"
    row = database.one(
        _INSERT_KEY, name=name, hash=_hash(secret), scopes=sorted(set(scopes)), source=source, expires_at=expires_at
    )
    return _key(row), secret


def find_key(database: Database, secret: str) -> ApiKey | None:
    """The key with this secret, unless it was revoked or has expired."""
    return next(map(_key, database.rows(_FIND_KEY, hash=_hash(secret))), None)


def list_keys(database: Database) -> list[ApiKey]:
    """All keys, including revoked ones, in order of creation."""
    return [_key(row) for row in database.rows(_LIST_KEYS)]


def revoke_key(database: Database, key_id: int) -> bool:
    """Revoke a key; False if no such key exists or it was already revoked."""
    return database.execute(_REVOKE_KEY, id=key_id) > 0


_BEGIN_SESSION: Final = text("""
WITH ended AS (
    DELETE FROM console_sessions WHERE ends_at < now() OR used_at < now() - :idle OR hash = :previous
), surplus AS (
    DELETE FROM console_sessions WHERE hash IN (
        SELECT hash FROM console_sessions WHERE key_id = :key AND hash IS DISTINCT FROM :previous
        ORDER BY used_at DESC OFFSET :others
    )
)
INSERT INTO console_sessions (hash, key_id, ends_at) VALUES (:hash, :key, now() + :lifetime)
""")
# `used_at` is written once a minute at most, so that most pages only read.
_FIND_SESSION_KEY: Final = text("""
WITH session AS (
    SELECT hash, key_id, used_at FROM console_sessions
    WHERE hash = :hash AND ends_at > now() AND used_at > now() - :idle
), used AS (
    UPDATE console_sessions SET used_at = now()
    WHERE hash = (SELECT hash FROM session WHERE used_at < now() - interval '1 minute')
)
SELECT * FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND id = (SELECT key_id FROM session)
""")
_END_SESSION: Final = text("DELETE FROM console_sessions WHERE hash = :hash")


def begin_session(database: Database, key: ApiKey, *, previous: str | None = None) -> str:
    """Log in with a key; returns the session's token. Ends the browser's previous session, and the key's oldest
    sessions beyond the maximum."""
    token = secrets.token_urlsafe(32)
    database.execute(
        _BEGIN_SESSION, hash=_hash(token), key=key.id, lifetime=SESSION_LIFETIME, idle=SESSION_IDLE_LIMIT,
        previous=_hash(previous or ""), others=MAX_SESSIONS - 1,
    )  # fmt: skip
    return token


def find_session_key(database: Database, token: str) -> ApiKey | None:
    """The key of a session; None if the session has ended or was idle for too long, or the key is not active."""
    return next(map(_key, database.rows(_FIND_SESSION_KEY, hash=_hash(token), idle=SESSION_IDLE_LIMIT)), None)


def end_session(database: Database, token: str) -> None:
    """Log out."""
    database.execute(_END_SESSION, hash=_hash(token))


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _key(row: Row[Any]) -> ApiKey:
    # Scopes that only a later release knows are ignored.
    scopes = frozenset(scope for scope in Scope if scope in row.scopes)
    return ApiKey(
        row.id, row.name, scopes, row.source, row.created_at, row.expires_at, row.last_used_at, row.revoked_at
    )


KEPT_DAYS: Final = 30  # as in schema/audit.sql


# An action that the audit trail records.
Action = Literal[
    "login", "logout", "key.create", "key.revoke", "ticket.forget", "dead-letter.replay", "dead-letter.drop",
    "model.promote", "model.rollback", "model.archive", "training.request", "training.cancel",
    "training.finish", "label.set", "label.reject", "run.start", "run.cancel",
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


_INSERT: Final = text("""
INSERT INTO audit (actor, address, action, object, outcome) VALUES (:actor, :address, :action, :object, :outcome)
""")
_INSERT_ONCE: Final = text("""
INSERT INTO audit (actor, address, action, object, outcome)
SELECT :actor, :address, :action, :object, 'done'
WHERE NOT EXISTS (SELECT FROM audit WHERE (actor, action, object) = (:actor, :action, :object))
""")
_LIST: Final = text("""
SELECT id, at, actor, address, action, object, outcome FROM audit
WHERE (CAST(:actor AS text) IS NULL OR strpos(actor, :actor) > 0)
  AND (CAST(:action AS text) IS NULL OR action = :action)
  AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
ORDER BY id DESC LIMIT :limit
""")


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
