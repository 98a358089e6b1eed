"""The logins beside the owner's: `analyst`, of people who only read, and `worker`, of programs that read and write.

Each is a member of a role that the migrations create. It works on any Postgres, the local stack's or another.
"""

import psycopg
from psycopg import sql

from triagem.cli.stack.errors import StackFailed


def ensure_reader_login(database_url: str, password: str) -> None:
    """Create the login `analyst` if it is missing, and make it a member of `triagem_reader` if that exists.

    A login that exists keeps its password. Call it after the migrations. Raises StackFailed.
    """
    _ensure(database_url, "analyst", password, "triagem_reader")


def ensure_writer_login(database_url: str, password: str, login: str = "worker") -> None:
    """The same for the login of workers, a member of `triagem_writer`; StackFailed where that role is missing."""
    if not _ensure(database_url, login, password, "triagem_writer"):
        raise StackFailed("the database has no role triagem_writer: run `triagem db upgrade`, or make it anew")


def _ensure(database_url: str, login: str, password: str, role: str) -> bool:
    try:
        with psycopg.connect(database_url) as connection:
            roles = "SELECT rolname FROM pg_roles WHERE rolname IN (%s, %s)"
            existing = {name for (name,) in connection.execute(roles, [login, role])}
            if login not in existing:
                # Hashed here: the server may log a statement that fails.
                hashed = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(create.format(sql.Identifier(login), sql.Literal(hashed.decode())))
            if role in existing:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login)))
            return role in existing
    except psycopg.Error as error:
        raise StackFailed(f"the login `{login}` could not be created: {str(error).splitlines()[0]}") from error
