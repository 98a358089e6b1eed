"""The release before this one, as its code was: for tests of two releases side by side."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
import pytest

from tests.support.manifests import ROOT
from tests.support.waiting import until
from triagem.cli.stack import Endpoints

# The last state of the main line with the tables of 0003: nothing goes back to CRMs, no runs over stored tickets,
# no messages about alerts, no console, no scaling signal. There is no published release yet; this stands for one.
BEFORE: Final = "ad7b580be7d298c9002919fe4ff693c02e67b255"
REVISION_BEFORE: Final = "0003"


def former_tree(folder: Path) -> Path:
    """Its files, in `folder`; skips the test where the history is not there."""
    git = shutil.which("git") or pytest.skip("there is no git to ask for the former release")
    asked = subprocess.run([git, "-C", str(ROOT), "archive", BEFORE], capture_output=True, check=False)
    if asked.returncode:
        pytest.skip(f"no commit {BEFORE[:7]} here, as in a shallow clone: {asked.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(asked.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # Its packages were at the top level: under the name that processes are started by today lies its own command.
    package = folder / "triagem" / "cli"
    package.mkdir(parents=True)
    for level in (package.parent, package):
        (level / "__init__.py").touch()
    (package / "main.py").write_text("from cli.main import run\n\nrun()\n", encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Release:
    """The `triagem` of a tree of files, on servers."""

    tree: Path
    endpoints: Endpoints

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Python takes our packages from this tree, wherever it is started."""
        return {"PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1"}

    def triagem(self, *arguments: str, said: str = "") -> None:
        """Run a command as the tables' owner."""
        urls = {
            "TRIAGEM_REDIS_URL": self.endpoints.redis_url,
            "TRIAGEM_BROKER_URL": self.endpoints.broker_url,
            "TRIAGEM_DATABASE_URL": self.endpoints.database_url,
        }
        done = subprocess.run(
            [sys.executable, "-m", "triagem.cli.main", *arguments],
            env={**os.environ, **self.environment, **urls},
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def enqueue(self, prefix: str, number: int, *, lane: str = "live") -> list[str]:
        """Hand in so many tickets by its producer; their ids."""
        ids = [f"{prefix}-{one}" for one in range(number)]
        rows = [
            {"source": "crm", "external_id": one, "text": f"ticket {one} " + "palavra " * (len(one) % 4)}
            for one in ids
        ]
        self.triagem("enqueue", "-", "--lane", lane, said="\n".join(map(json.dumps, rows)))
        return ids


@contextmanager
def own_database(endpoints: Endpoints) -> Iterator[Endpoints]:
    """The same servers, with an empty database of its own."""
    name = f"rolling_{uuid4().hex}"

    def there(url: str) -> str:
        return f"{url.rpartition('/')[0]}/{name}"

    with psycopg.connect(endpoints.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
        yield replace(
            endpoints,
            database_url=there(endpoints.database_url),
            writer_url=there(endpoints.writer_url),
        )
        # FORCE ends the owner's own sessions only; a killed worker's outlives it by a moment.
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename <> current_user"
        until(lambda: owner.execute(others, [name]).fetchone() == (0,))
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
