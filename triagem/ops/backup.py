"""Backs up and restores Postgres with its own tools, and the folder of the model registry."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from triagem.contracts.errors import InvalidInput, MissingExtra
from triagem.db import Database
from triagem.db.upgrade import upgrade
from triagem.stack.binaries import postgres_programs

# Not DROP OWNED: it would also end the logins' memberships in the roles, on which the server's other databases rely.
_DROP_TABLES = """
DROP SCHEMA analytics CASCADE; DROP SCHEMA public CASCADE;
CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC
"""


def dump(database: Database, url: str, file: Path) -> None:
    """Write all tables to a new file, for `restore` and for pg_restore. Raises InvalidInput."""
    program = find_tool("pg_dump", database)
    with _new_file(file) as draft:
        _run(program, url, "--format=custom", f"--file={draft}")


def restore(database: Database, url: str, file: Path) -> None:
    """Fill a database without tickets from a dump, and migrate it to this version's schema. Raises InvalidInput."""
    program = find_tool("pg_restore", database)
    _run(program, None, "--list", str(file))  # an unreadable file must change nothing
    upgrade(database)  # creates the roles, which are not in the dump
    if database.scalar_one("SELECT EXISTS (SELECT FROM tickets)"):
        raise InvalidInput(
            "the database has tickets: restore into an empty one, such as from `triagem up` in a new folder"
        )
    database.execute(_DROP_TABLES)
    _run(program, url, "--no-owner", "--exit-on-error", "--single-transaction", str(file))
    upgrade(database)


def check_models(registry: Path, file: Path, models_file: Path) -> None:
    """Raise InvalidInput if `dump` or `dump_models` would fail. Call it before `dump`, which may take long."""
    if not registry.is_dir():
        raise InvalidInput(f"there is no registry in {registry}: check TRIAGEM_REGISTRY_URL, or omit --models")
    _refuse_existing(file, models_file)


def dump_models(registry: Path, file: Path) -> None:
    """Write the registry's folder to a new file. Call it after `dump`: no dumped result may have a later epoch."""
    with _new_file(file) as draft, tarfile.open(draft, "w:gz") as archive:
        archive.add(registry, ".")


def restore_models(registry: Path, file: Path) -> None:
    """Unpack a registry into a folder that is empty or does not exist. Raises InvalidInput."""
    if not file.is_file():
        raise InvalidInput(f"{file}: no such file; the dump was made without --models: omit it here too")
    if registry.exists() and any(registry.iterdir()):
        raise InvalidInput(f"{registry} is not empty: restore the models into an empty folder (TRIAGEM_REGISTRY_URL)")
    unpack(file, registry)


def unpack(file: Path, folder: Path) -> None:
    """Unpack the files and folders of a tar archive into a folder. Raises InvalidInput."""
    try:
        with tarfile.open(file) as archive:
            # Python before 3.11.4, such as Debian 12's, has no filter; hence the check of each member.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not (member.isreg() or member.isdir()):
                    raise InvalidInput(
                        f"{file} contains {member.name!r}: only files and folders inside it are unpacked"
                    )
            archive.extractall(folder)  # noqa: S202 - each member is checked above
    except (OSError, tarfile.TarError) as error:
        raise InvalidInput(f"{file} cannot be read ({type(error).__name__})") from None


def find_tool(name: str, database: Database) -> str:
    """A Postgres program of the server's major version, of the local stack or on PATH. Raises InvalidInput."""
    version = int(database.scalar_one("SHOW server_version_num")) // 10_000
    candidates = [shutil.which(name), f"/usr/lib/postgresql/{version}/bin/{name}"]
    with suppress(MissingExtra):
        candidates.insert(0, str(postgres_programs() / name))
    versions = []
    for program in filter(None, candidates):
        with suppress(OSError):
            printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
            if f") {version}." in printed:
                return program
            versions.append(printed.strip())
    others = ", ".join(versions) or "none at all"
    raise InvalidInput(
        f"Postgres is version {version}, and there is no {name} of this version ({others}): "
        f"install the package postgresql-client-{version}, or run pip install 'triagem[stack]'"
    )


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A draft that is renamed to `file` when complete. Only its owner may read it: it contains customers' texts."""
    _refuse_existing(file)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.touch(0o600)
        yield draft
        draft.rename(file)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written ({error.strerror})") from None
    finally:
        draft.unlink(missing_ok=True)


def _refuse_existing(*files: Path) -> None:
    if existing := [str(file) for file in files if file.exists()]:
        verb, them = ("exists", "it") if len(existing) == 1 else ("exist", "them")
        raise InvalidInput(f"{' and '.join(existing)} {verb}: choose another name, or delete {them}")


def _run(program: str, url: str | None, *arguments: str) -> None:
    options = {name: str(value) for name, value in conninfo_to_dict(url or "").items() if value is not None}
    password = options.pop("password", None)  # not as an argument, which other users of this machine can read
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    database = ["--dbname", make_conninfo("", **options)] if url else []
    process = subprocess.run(  # noqa: S603
        [program, *database, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if process.returncode:  # further lines may quote a row
        raise InvalidInput((process.stderr.strip().splitlines() or [f"{program} failed"])[0])
