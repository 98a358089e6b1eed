"""The login of people who only read: `analyst`, a member of the role that the migrations create.

It works on any Postgres, the local stack's or another.
"""

import psycopg
from psycopg import sql

from cli.stack.errors import StackFailed


def ensure_reader_login(database_url: str, password: str) -> None:
    """Create the login `analyst` if it is missing, and make it a member of `triagem_reader` if that exists.

    A login that exists keeps its password. Call it after the migrations. Raises StackFailed.
    """
    try:
        with psycopg.connect(database_url) as connection:
            roles = "SELECT rolname FROM pg_roles WHERE rolname IN ('analyst', 'triagem_reader')"
            existing = {name for (name,) in connection.execute(roles)}
            if "analyst" not in existing:
                # Hashed here: the server may log a statement that fails.
                hashed = connection.pgconn.encrypt_password(password.encode(), b"analyst", b"scram-sha-256")
                connection.execute(
                    sql.SQL("CREATE ROLE analyst LOGIN PASSWORD {}").format(sql.Literal(hashed.decode()))
                )
            if "triagem_reader" in existing:
                connection.execute("GRANT triagem_reader TO analyst")
    except psycopg.Error as error:
        raise StackFailed(f"the login `analyst` could not be created: {str(error).splitlines()[0]}") from error
