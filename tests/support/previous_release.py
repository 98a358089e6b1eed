"""The code of the previous release, for tests in which two releases run next to each other."""

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

# The last commit on main with revision 0003: without result delivery, reclassification runs, alert notifications,
# console and scaling signal. It stands for a release, since none has been published yet.
PREVIOUS_COMMIT: Final = "ad7b580be7d298c9002919fe4ff693c02e67b255"
PREVIOUS_REVISION: Final = "0003"


def extract_release(folder: Path) -> Path:
    """Extract the previous release into `folder`. Skips the test if the git history is missing."""
    git = shutil.which("git") or pytest.skip("git is not installed, so the previous release cannot be extracted")
    archived = subprocess.run([git, "-C", str(ROOT), "archive", PREVIOUS_COMMIT], capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(
            f"commit {PREVIOUS_COMMIT[:7]} is missing, as in a shallow clone: {archived.stderr.decode().strip()}"
        )
    with tarfile.open(fileobj=BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # Its packages were at the top level. Processes start `triagem.cli.main` today, so that name must run its command.
    package = folder / "triagem" / "cli"
    package.mkdir(parents=True)
    for level in (package.parent, package):
        (level / "__init__.py").touch()
    (package / "main.py").write_text("from cli.main import run\n\nrun()\n", encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Release:
    """The `triagem` command of a source tree, connected to servers."""

    tree: Path
    endpoints: Endpoints

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which Python imports our packages from this tree, whatever the working directory."""
        return {"PYTHONPATH": str(self.tree), "PYTHONSAFEPATH": "1"}

    def triagem(self, *arguments: str, stdin: str = "") -> None:
        """Run a command as the owner of the tables."""
        urls = {
            "TRIAGEM_REDIS_URL": self.endpoints.redis_url,
            "TRIAGEM_BROKER_URL": self.endpoints.broker_url,
            "TRIAGEM_DATABASE_URL": self.endpoints.database_url,
        }
        process = subprocess.run(
            [sys.executable, "-m", "triagem.cli.main", *arguments],
            env={**os.environ, **self.environment, **urls},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr

    def enqueue(self, prefix: str, count: int, *, lane: str = "live") -> list[str]:
        """Enqueue `count` tickets with its producer; returns their ids."""
        ids = [f"{prefix}-{number}" for number in range(count)]
        rows = [
            {"source": "crm", "external_id": name, "text": f"ticket {name} " + "palavra " * (len(name) % 4)}
            for name in ids
        ]
        self.triagem("enqueue", "-", "--lane", lane, stdin="\n".join(map(json.dumps, rows)))
        return ids


@contextmanager
def own_database(endpoints: Endpoints) -> Iterator[Endpoints]:
    """The same servers, with a new empty database."""
    name = f"rolling_{uuid4().hex}"

    def with_database(url: str) -> str:
        return f"{url.rpartition('/')[0]}/{name}"

    with psycopg.connect(endpoints.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
        yield replace(
            endpoints,
            database_url=with_database(endpoints.database_url),
            writer_url=with_database(endpoints.writer_url),
        )
        # FORCE ends the owner's own sessions only; the session of a killed worker outlives it briefly.
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename <> current_user"
        until(lambda: owner.execute(others, [name]).fetchone() == (0,))
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
