"""Creates the Postgres logins `analyst`, for people who only read, and `worker`, for programs that read and write.

Each is a member of a role created by the migrations. Works on any Postgres, not only the local stack's.
"""

import psycopg
from psycopg import sql

from triagem.cli.stack.errors import StackFailed


def ensure_reader_login(database_url: str, password: str) -> None:
    """Create the login `analyst` if it is missing, and make it a member of `triagem_reader` if that role exists.

    An existing login keeps its password. Call this after the migrations. Raises StackFailed.
    """
    _ensure(database_url, "analyst", password, "triagem_reader")


def ensure_writer_login(database_url: str, password: str, login: str = "worker") -> None:
    """Create the workers' login, a member of `triagem_writer`. Raises StackFailed, also if that role is missing."""
    if not _ensure(database_url, login, password, "triagem_writer"):
        raise StackFailed("the database has no role triagem_writer: run `triagem db upgrade`, or recreate the role")


def _ensure(database_url: str, login: str, password: str, role: str) -> bool:
    try:
        with psycopg.connect(database_url) as connection:
            roles = "SELECT rolname FROM pg_roles WHERE rolname IN (%s, %s)"
            existing = {name for (name,) in connection.execute(roles, [login, role])}
            if login not in existing:
                # Hashed by the client: the server may log a failing statement, with the password in it.
                hashed = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(create.format(sql.Identifier(login), sql.Literal(hashed.decode())))
            if role in existing:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login)))
            return role in existing
    except psycopg.Error as error:
        raise StackFailed(f"the login `{login}` could not be created: {str(error).splitlines()[0]}") from error
