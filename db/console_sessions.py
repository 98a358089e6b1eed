"""Console login sessions: a random token, valid for some hours or until logout, stored as a hash like API keys."""

import secrets
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from triagem.db.api_keys import KEY_COLUMNS, ApiKey, hash_secret, key_from_row
from triagem.db.connect import Database

LIFETIME: Final = timedelta(hours=12)

_INSERT: Final = text("""
WITH expired AS (DELETE FROM console_sessions WHERE ends_at < now())
INSERT INTO console_sessions (hash, key_id, ends_at) VALUES (:hash, :key, now() + :lifetime)
""")
_FIND: Final = text(f"""
SELECT {KEY_COLUMNS} FROM api_keys
WHERE revoked_at IS NULL AND id = (SELECT key_id FROM console_sessions WHERE hash = :hash AND ends_at > now())
""")  # noqa: S608 - built from a constant; values travel as parameters
_DELETE: Final = text("DELETE FROM console_sessions WHERE hash = :hash")


def begin(database: Database, key: ApiKey) -> str:
    """Log in with a key; returns the session's token, which cannot be read again later."""
    token = secrets.token_urlsafe(32)
    with database.autocommit() as connection:
        connection.execute(_INSERT, {"hash": hash_secret(token), "key": key.id, "lifetime": LIFETIME})
    return token


def find(database: Database, token: str) -> ApiKey | None:
    """The key of a session; None if the session is over or the key was revoked."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, {"hash": hash_secret(token)}).one_or_none()
    return None if row is None else key_from_row(*row)


def end(database: Database, token: str) -> None:
    """Log out."""
    with database.autocommit() as connection:
        connection.execute(_DELETE, {"hash": hash_secret(token)})
