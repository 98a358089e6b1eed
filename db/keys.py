"""API keys: made once and shown once, kept as a hash, with scopes, revocable."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import text

from triagem.db.connect import Database


class Scope(StrEnum):
    """What a key is good for."""

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


COLUMNS = "id, name, scopes, created_at, revoked_at"


def create(database: Database, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be had again.

    The secret has 256 random bits, so a plain SHA-256 keeps it as well as a slow hash would a password.
    """
    secret = f"trg_{secrets.token_urlsafe(32)}"
    made = text(f"INSERT INTO api_keys (name, hash, scopes) VALUES (:name, :hash, :scopes) RETURNING {COLUMNS}")  # noqa: S608
    with database.autocommit() as connection:
        row = connection.execute(made, {"name": name, "hash": hash_of(secret), "scopes": sorted(set(scopes))}).one()
    return key_of(*row), secret


def find(database: Database, secret: str) -> ApiKey | None:
    """The key of a secret, unless it was revoked."""
    asked = text(f"SELECT {COLUMNS} FROM api_keys WHERE hash = :hash AND revoked_at IS NULL")  # noqa: S608
    with database.autocommit() as connection:
        row = connection.execute(asked, {"hash": hash_of(secret)}).one_or_none()
    return None if row is None else key_of(*row)


def keys(database: Database) -> list[ApiKey]:
    """All keys, revoked ones too, in the order in which they were made."""
    with database.autocommit() as connection:
        return [key_of(*row) for row in connection.execute(text(f"SELECT {COLUMNS} FROM api_keys ORDER BY id"))]  # noqa: S608


def revoke(database: Database, key_id: int) -> bool:
    """Take a key back; False if there is none, or it was revoked before."""
    done = text("UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")
    with database.autocommit() as connection:
        return connection.execute(done, {"id": key_id}).rowcount > 0


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def key_of(key_id: int, name: str, scopes: list[str], created_at: datetime, revoked_at: datetime | None) -> ApiKey:
    """A row of `COLUMNS`. A scope that a later release has given it is good for nothing here."""
    return ApiKey(key_id, name, frozenset(scope for scope in Scope if scope in scopes), created_at, revoked_at)
