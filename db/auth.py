"""API keys, and console login sessions that start with one.

A secret or session token is shown once when created, and stored as a hash. Keys are limited to scopes, and revocable.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

SESSION_LIFETIME: Final = timedelta(hours=12)


class Scope(StrEnum):
    """A permission of a key."""

    ENQUEUE = "enqueue"
    READ = "read"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: int
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None


_INSERT_KEY: Final = text("""
INSERT INTO api_keys (name, hash, scopes) VALUES (:name, :hash, :scopes)
RETURNING id, name, scopes, created_at, revoked_at
""")
_FIND_KEY: Final = text("""
SELECT id, name, scopes, created_at, revoked_at FROM api_keys WHERE hash = :hash AND revoked_at IS NULL
""")
_LIST_KEYS: Final = text("SELECT id, name, scopes, created_at, revoked_at FROM api_keys ORDER BY id")
_REVOKE_KEY: Final = text("UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")


def create_key(database: Database, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
    """Create a key; returns it with its secret, which cannot be read again later.

    The secret has 256 random bits, so a plain SHA-256 protects it as well as a slow hash protects a password.
    """
    secret = f"trg_{secrets.token_urlsafe(32)}"
    values = {"name": name, "hash": _hash(secret), "scopes": sorted(set(scopes))}
    with database.autocommit() as connection:
        row = connection.execute(_INSERT_KEY, values).one()
    return _key(*row), secret


def find_key(database: Database, secret: str) -> ApiKey | None:
    """The key with this secret, unless it was revoked."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND_KEY, {"hash": _hash(secret)}).one_or_none()
    return None if row is None else _key(*row)


def list_keys(database: Database) -> list[ApiKey]:
    """All keys, including revoked ones, in order of creation."""
    with database.autocommit() as connection:
        return [_key(*row) for row in connection.execute(_LIST_KEYS)]


def revoke_key(database: Database, key_id: int) -> bool:
    """Revoke a key; False if there is none or it was already revoked."""
    with database.autocommit() as connection:
        return connection.execute(_REVOKE_KEY, {"id": key_id}).rowcount > 0


_BEGIN_SESSION: Final = text("""
WITH expired AS (DELETE FROM console_sessions WHERE ends_at < now())
INSERT INTO console_sessions (hash, key_id, ends_at) VALUES (:hash, :key, now() + :lifetime)
""")
_FIND_SESSION_KEY: Final = text("""
SELECT id, name, scopes, created_at, revoked_at FROM api_keys
WHERE revoked_at IS NULL AND id = (SELECT key_id FROM console_sessions WHERE hash = :hash AND ends_at > now())
""")
_END_SESSION: Final = text("DELETE FROM console_sessions WHERE hash = :hash")


def begin_session(database: Database, key: ApiKey) -> str:
    """Log in with a key; returns the session's token, valid for some hours or until logout."""
    token = secrets.token_urlsafe(32)
    with database.autocommit() as connection:
        connection.execute(_BEGIN_SESSION, {"hash": _hash(token), "key": key.id, "lifetime": SESSION_LIFETIME})
    return token


def find_session_key(database: Database, token: str) -> ApiKey | None:
    """The key of a session; None if the session is over or the key was revoked."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND_SESSION_KEY, {"hash": _hash(token)}).one_or_none()
    return None if row is None else _key(*row)


def end_session(database: Database, token: str) -> None:
    """Log out."""
    with database.autocommit() as connection:
        connection.execute(_END_SESSION, {"hash": _hash(token)})


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _key(key_id: int, name: str, scopes: list[str], created_at: datetime, revoked_at: datetime | None) -> ApiKey:
    # Scopes that only a later release knows are ignored.
    return ApiKey(key_id, name, frozenset(scope for scope in Scope if scope in scopes), created_at, revoked_at)
