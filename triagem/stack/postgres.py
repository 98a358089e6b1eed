"""A Postgres server with one database, `triagem`, over TCP on loopback, with its reader and writer logins.

The superuser has no password, so nobody can log in as superuser. The user `triagem` owns its database and may create
roles and databases.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import Final

import psycopg
from psycopg import sql

from triagem.stack.binaries import (
    postgres_programs,
    postgres_programs_for_others,
    run_as_unprivileged,
    server_home,
)
from triagem.stack.server import ENVIRONMENT, Server
from triagem.stack.state import LOOPBACK, StackFailed

SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "log_error_verbosity": "terse",  # an error's details contain the rejected row, with a customer's text
}
NO_FSYNC_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
# Postgres's built-in C.UTF-8 sorts alike on Linux and on macOS, whose C library has no C.UTF-8.
COLLATION: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
HBA_RULES: Final = f"host all all {LOOPBACK}/32 scram-sha-256\n"
READER_SETTINGS: Final = {"search_path": "analytics", "statement_timeout": "5min"}
SETUP: Final = """\
CREATE ROLE triagem LOGIN CREATEROLE CREATEDB PASSWORD '{password}';

CREATE DATABASE triagem OWNER triagem;

"""


class PostgresServer(Server):
    """A Postgres server with its data in `folder`, or elsewhere if root cannot use it (see `server_home`)."""

    name = "Postgres"
    stop_signals = ((SIGINT, 30), (SIGQUIT, 10), (SIGKILL, 10))

    def __init__(self, folder: Path, password: str, *, fsync: bool = True) -> None:
        run_as = run_as_unprivileged()
        super().__init__(server_home(folder, run_as), run_as)
        self._password, self._fsync = password, fsync
        self._data = self.home / "data"

    @property
    def url(self) -> str:
        return self.url_for("triagem", self._password)

    def url_for(self, user: str, password: str) -> str:
        """The database URL for a given login."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/triagem"

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                return False
            fix = f"restore secrets.json, or stop Postgres and delete {self.home} with all its data"
            raise StackFailed(f"Postgres rejects the password in secrets.json: {fix}") from error
        return True

    def _prepare(self) -> None:
        if not self._data.exists():
            draft = self.home / "data.new"
            shutil.rmtree(draft, ignore_errors=True)
            self._create(draft)
            draft.rename(self._data)
        # No process holds our lock, so the process that wrote this file is dead and its pid may have been reused.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _create(self, data: Path) -> None:
        data.mkdir(mode=0o700)
        if self._run_as:
            shutil.chown(data, self._run_as["user"], self._run_as["group"])
        sync = "--sync-method=fsync" if self._fsync else "--no-sync"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "reject", "-E", "UTF8", *COLLATION, sync)
        (data / "pg_hba.conf").write_text(HBA_RULES)
        # Single-user mode reads stdin: no password in argv, and the superuser never has to log in.
        single_user = ("postgres", "--single", "-j", "-D", data, "-c", "exit_on_error=true", "postgres")
        self._run(*single_user, stdin=SETUP.format(password=self._password))

    def _run(self, program: str, *arguments: str | Path, stdin: str = "") -> None:
        process = subprocess.run(
            [self._programs() / program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=ENVIRONMENT,
            **self._run_as,
        )
        if process.returncode:
            lines = process.stderr.strip().splitlines()
            fatal = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
            reason = " | ".join(fatal or lines[-3:])
            raise StackFailed(f"Postgres could not be set up in {self.home}: {reason}")

    def _programs(self) -> Path:
        return postgres_programs_for_others(self.home) if self._run_as else postgres_programs()

    def _command(self) -> Sequence[str | Path]:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self._fsync else NO_FSYNC_SETTINGS)
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._programs() / "postgres", "-D", self._data, *options]


def ensure_reader_login(database_url: str, password: str) -> None:
    """Create the login `analyst` if it is missing, and make it a member of `triagem_reader` if that role exists.

    An existing login keeps its password. Call this after the migrations. Raises StackFailed.
    """
    _ensure(database_url, "analyst", password, "triagem_reader", READER_SETTINGS)


def ensure_writer_login(database_url: str, password: str, login: str = "worker") -> None:
    """Create the workers' login, a member of `triagem_writer`. Raises StackFailed, also if that role is missing."""
    if not _ensure(database_url, login, password, "triagem_writer"):
        raise StackFailed("the database has no role triagem_writer: run `triagem db upgrade`, or recreate the role")


def _ensure(
    database_url: str, login: str, password: str, role: str, settings: Mapping[str, str] | None = None
) -> bool:
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
            for name, value in (settings or {}).items():  # a login does not inherit its role's settings
                statement = sql.SQL("ALTER ROLE {} SET {} = {}")
                connection.execute(statement.format(sql.Identifier(login), sql.Identifier(name), sql.Literal(value)))
            return role in existing
    except psycopg.Error as error:
        raise StackFailed(f"the login `{login}` could not be created: {str(error).splitlines()[0]}") from error
