"""API keys: shown once when created, stored as a hash, limited to scopes, revocable."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database


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


KEY_COLUMNS: Final = "id, name, scopes, created_at, revoked_at"
_INSERT: Final = text(f"""
INSERT INTO api_keys (name, hash, scopes) VALUES (:name, :hash, :scopes) RETURNING {KEY_COLUMNS}
""")  # noqa: S608 - built from a constant; values travel as parameters
_FIND: Final = text(f"SELECT {KEY_COLUMNS} FROM api_keys WHERE hash = :hash AND revoked_at IS NULL")  # noqa: S608
_LIST: Final = text(f"SELECT {KEY_COLUMNS} FROM api_keys ORDER BY id")  # noqa: S608
_REVOKE: Final = text("UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")


def create_key(database: Database, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
    """Create a key; returns it with its secret, which cannot be read again later.

    The secret has 256 random bits, so a plain SHA-256 protects it as well as a slow hash protects a password.
    """
    secret = f"trg_{secrets.token_urlsafe(32)}"
    values = {"name": name, "hash": hash_secret(secret), "scopes": sorted(set(scopes))}
    with database.autocommit() as connection:
        row = connection.execute(_INSERT, values).one()
    return key_from_row(*row), secret


def find_key(database: Database, secret: str) -> ApiKey | None:
    """The key with this secret, unless it was revoked."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, {"hash": hash_secret(secret)}).one_or_none()
    return None if row is None else key_from_row(*row)


def list_keys(database: Database) -> list[ApiKey]:
    """All keys, including revoked ones, in order of creation."""
    with database.autocommit() as connection:
        return [key_from_row(*row) for row in connection.execute(_LIST)]


def revoke_key(database: Database, key_id: int) -> bool:
    """Revoke a key; False if there is none or it was already revoked."""
    with database.autocommit() as connection:
        return connection.execute(_REVOKE, {"id": key_id}).rowcount > 0


def hash_secret(secret: str) -> bytes:
    """The hash under which a secret is stored."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def key_from_row(
    key_id: int, name: str, scopes: list[str], created_at: datetime, revoked_at: datetime | None
) -> ApiKey:
    """The key in a row of `KEY_COLUMNS`. Scopes that only a later release knows are ignored."""
    return ApiKey(key_id, name, frozenset(scope for scope in Scope if scope in scopes), created_at, revoked_at)
