"""Postgres with one database, `triagem`, and one way in: TCP on the loopback interface, with a password.

The superuser has none, so nobody can log in as superuser; the user `triagem` owns its database and may create
roles and databases.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import Final

import psycopg

from triagem.cli.stack.account import home_for, unprivileged
from triagem.cli.stack.binaries import postgres_programs, postgres_programs_for_others
from triagem.cli.stack.errors import StackFailed
from triagem.cli.stack.ports import LOOPBACK
from triagem.cli.stack.server import ENVIRONMENT, Server

SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "log_error_verbosity": "terse",  # the details of an error hold the row that was refused: a customer's text
}
CARELESS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
# Postgres's own C.UTF-8 sorts alike on Linux and on macOS, whose C library has none.
COLLATION: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
LET_IN: Final = f"host all all {LOOPBACK}/32 scram-sha-256\n"
SETUP: Final = """\
CREATE ROLE triagem LOGIN CREATEROLE CREATEDB PASSWORD '{password}';

CREATE DATABASE triagem OWNER triagem;

"""


class PostgresServer(Server):
    """A Postgres server that keeps its data in `folder`, or in `home` where root must keep it elsewhere."""

    name = "Postgres"
    farewell = ((SIGINT, 30), (SIGQUIT, 10), (SIGKILL, 10))

    def __init__(self, folder: Path, password: str, port: int | None = None, *, fsync: bool = True) -> None:
        run_as = unprivileged()
        super().__init__(home_for(folder, run_as), port, run_as)
        self._password, self._fsync = password, fsync
        self._data = self.home / "data"

    @property
    def url(self) -> str:
        return self.url_for("triagem", self._password)

    def url_for(self, user: str, password: str) -> str:
        """The database's URL for another login."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/triagem"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                return False
            mend = f"restore secrets.json, or stop it and delete {self.home} with all its data"
            raise StackFailed(f"Postgres refuses our password: {mend}") from error
        return True

    def _prepare(self) -> None:
        if not self._data.exists():
            draft = self.home / "data.new"
            shutil.rmtree(draft, ignore_errors=True)
            self._create(draft)
            draft.rename(self._data)
        # Nobody holds our lock, so its writer is dead, and the pid in it may be somebody else's by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _create(self, data: Path) -> None:
        data.mkdir(mode=0o700)
        if self._run_as:
            shutil.chown(data, self._run_as["user"], self._run_as["group"])
        sync = "--sync-method=fsync" if self._fsync else "--no-sync"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "reject", "-E", "UTF8", *COLLATION, sync)
        (data / "pg_hba.conf").write_text(LET_IN)
        # Single-user mode reads stdin: no password in argv, and the superuser never has to log in.
        alone = ("postgres", "--single", "-j", "-D", data, "-c", "exit_on_error=true", "postgres")
        self._run(*alone, stdin=SETUP.format(password=self._password))

    def _run(self, program: str, *arguments: str | Path, stdin: str = "") -> None:
        done = subprocess.run(
            [self._programs() / program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=ENVIRONMENT,
            **self._run_as,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            fatal = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
            reason = " | ".join(fatal or lines[-3:])
            raise StackFailed(f"Postgres could not be set up in {self.home}: {reason}")

    def _programs(self) -> Path:
        return postgres_programs_for_others(self.home) if self._run_as else postgres_programs()

    def _command(self) -> Sequence[str | Path]:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self._fsync else CARELESS)
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._programs() / "postgres", "-D", self._data, *options]
