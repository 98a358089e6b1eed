"""Who is logged in to the console: a random token for some hours, kept as a hash as keys are, until it is ended."""

import secrets
from datetime import timedelta
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database
from triagem.db.keys import COLUMNS, ApiKey, hash_of, key_of

LASTS: Final = timedelta(hours=12)

_BEGIN: Final = text("""
WITH over AS (DELETE FROM console_sessions WHERE ends_at < now())
INSERT INTO console_sessions (hash, key_id, ends_at) VALUES (:hash, :key, now() + :lasts)
""")
_FIND: Final = text(f"""
SELECT {COLUMNS} FROM api_keys
WHERE revoked_at IS NULL AND id = (SELECT key_id FROM console_sessions WHERE hash = :hash AND ends_at > now())
""")  # noqa: S608 - built from a constant; values travel as parameters
_END: Final = text("DELETE FROM console_sessions WHERE hash = :hash")


def begin(database: Database, key: ApiKey) -> str:
    """Log in with a key: the session's token, which cannot be had again."""
    token = secrets.token_urlsafe(32)
    with database.autocommit() as connection:
        connection.execute(_BEGIN, {"hash": hash_of(token), "key": key.id, "lasts": LASTS})
    return token


def find(database: Database, token: str) -> ApiKey | None:
    """Whose session it is; None if it is over, or the key was revoked."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, {"hash": hash_of(token)}).one_or_none()
    return None if row is None else key_of(*row)


def end(database: Database, token: str) -> None:
    """Log out."""
    with database.autocommit() as connection:
        connection.execute(_END, {"hash": hash_of(token)})
