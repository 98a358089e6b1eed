"""API keys, and the console's login sessions, each of which an API key starts.

A secret or session token is shown once when created, and stored as a hash. Keys are limited to scopes, and revocable.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Row

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


_INSERT_KEY: Final = """
INSERT INTO api_keys (name, hash, scopes, source, expires_at) VALUES (:name, :hash, :scopes, :source, :expires_at)
RETURNING *
"""
_FIND_KEY: Final = """
WITH used AS (
    UPDATE api_keys SET last_used_at = now()
    WHERE hash = :hash AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
)
SELECT * FROM api_keys WHERE hash = :hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


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
    return [_key(row) for row in database.rows("SELECT * FROM api_keys ORDER BY id")]


def revoke_key(database: Database, key_id: int) -> bool:
    """Revoke a key; False if no such key exists or it was already revoked."""
    return (
        database.execute("UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL", id=key_id)
        > 0
    )


_BEGIN_SESSION: Final = """
WITH ended AS (
    DELETE FROM console_sessions WHERE ends_at < now() OR used_at < now() - :idle OR hash = :previous
), surplus AS (
    DELETE FROM console_sessions WHERE hash IN (
        SELECT hash FROM console_sessions WHERE key_id = :key AND hash IS DISTINCT FROM :previous
        ORDER BY used_at DESC OFFSET :others
    )
)
INSERT INTO console_sessions (hash, key_id, ends_at) VALUES (:hash, :key, now() + :lifetime)
"""
# `used_at` is written once a minute at most, so that most pages only read.
_FIND_SESSION_KEY: Final = """
WITH session AS (
    SELECT hash, key_id, used_at FROM console_sessions
    WHERE hash = :hash AND ends_at > now() AND used_at > now() - :idle
), used AS (
    UPDATE console_sessions SET used_at = now()
    WHERE hash = (SELECT hash FROM session WHERE used_at < now() - interval '1 minute')
)
SELECT * FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND id = (SELECT key_id FROM session)
"""


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
    database.execute("DELETE FROM console_sessions WHERE hash = :hash", hash=_hash(token))


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _key(row: Row[Any]) -> ApiKey:
    # Scopes that only a later release knows are ignored.
    scopes = frozenset(scope for scope in Scope if scope in row.scopes)
    return ApiKey(
        row.id, row.name, scopes, row.source, row.created_at, row.expires_at, row.last_used_at, row.revoked_at
    )
