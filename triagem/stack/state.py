"""State of the stack that is kept between runs, passwords and ports; private files, whatever the umask; file locks.

Links are never followed: root writes in folders that other users can reach. A file lock shows that a server runs.
"""

import fcntl
import json
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from io import BufferedWriter
from pathlib import Path
from typing import IO, Final, Literal
from urllib.parse import urlsplit

from triagem.contracts.errors import NotRetryable

PRIVATE: Final = 0o700
TRAVERSABLE: Final = 0o711  # other users may pass through, not list


class StackFailed(NotRetryable):
    """A local server could not be started, stopped or reached. The message names it and what to do."""


def claim_folder(folder: Path, mode: int) -> None:
    """Create `folder`, or reuse it if we own it: in a shared parent another user may have planted it."""
    folder.mkdir(mode=PRIVATE, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise StackFailed(f"{folder} is a link or belongs to another user: remove it, or choose another folder")
    folder.chmod(mode)


def open_private(path: Path, mode: Literal["ab", "wb"]) -> BufferedWriter:
    """Open a file with mode 0600."""
    file = open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))  # noqa: SIM115
    os.fchmod(file.fileno(), 0o600)
    return file


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically: no reader and no crash ever sees a partial file."""
    draft = path.with_name(f"{path.name}.new")
    with open_private(draft, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Wait at most `seconds` for `ready` to return True; return its last value."""
    deadline = time.monotonic() + seconds
    while not (is_ready := ready()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_ready


def acquire(file: IO[bytes], *, shared: bool = False) -> bool:
    """Try to acquire the lock without waiting; return whether it succeeded. Closing the file releases the lock."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a process holds the exclusive lock. Tries a shared lock, so that concurrent checks do not clash."""
    try:
        with path.open("rb") as file:
            return not acquire(file, shared=True)
    except FileNotFoundError:
        return False


def release(file: IO[bytes]) -> None:
    """Release the lock even if a fork of this process still has the file open."""
    fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def exclusive(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock during a block. Raises StackFailed if another process keeps it for longer than `seconds`."""
    with open_private(path, "ab") as file:
        if not wait_until(lambda: acquire(file), seconds):
            raise StackFailed(f"another process has locked {path} for {seconds:.0f} s: let it finish, or stop it")
        yield


@dataclass(frozen=True, repr=False)
class Endpoints:
    """URLs of the stack's servers, for `TRIAGEM_REDIS_URL` and similar settings. The repr hides passwords."""

    redis_url: str
    broker_url: str
    database_url: str
    reader_url: str
    writer_url: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a process that uses these servers."""
        return {
            "TRIAGEM_REDIS_URL": self.redis_url,
            "TRIAGEM_BROKER_URL": self.broker_url,
            "TRIAGEM_DATABASE_URL": self.database_url,
        }

    @property
    def reader_password(self) -> str:
        """The password of the login `analyst`."""
        return urlsplit(self.reader_url).password or ""

    @property
    def writer_password(self) -> str:
        """The password of the login `worker`."""
        return urlsplit(self.writer_url).password or ""

    def __repr__(self) -> str:
        urls = ", ".join(f"{name}={url!r}" for name, url in asdict(self).items())
        return f"Endpoints({re.sub(r':[^:@/]*@', ':***@', urls)})"


@dataclass(frozen=True, repr=False)
class Secrets:
    """The stack's passwords: URL-safe, generated once, kept in a file that only its owner can read."""

    redis: str
    owner: str
    reader: str
    writer: str


def load_secrets(folder: Path) -> Secrets:
    """The passwords of the stack in `folder`; generates and saves them if there are none."""
    path = folder / "secrets.json"
    if not path.exists():
        write_private(path, json.dumps({field.name: secrets.token_urlsafe() for field in fields(Secrets)}))
    path.chmod(0o600)
    try:
        return Secrets(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise StackFailed(f"{path} is damaged: restore it, or delete {folder} with all its data") from error


def load_ports(folder: Path) -> dict[str, int]:
    """The last port of each server, by server name; empty if none was saved."""
    try:
        saved = json.loads((folder / "stack.json").read_text())
        return {name: int(port) for name, port in saved.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def save_ports(folder: Path, ports: dict[str, int]) -> None:
    """Save the ports. Called before the servers listen, so that a crash in between does not lose a server."""
    write_private(folder / "stack.json", json.dumps(ports))


LOOPBACK: Final = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; a port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(saved: int | None = None) -> int:
    """The saved port if it is free, else a free one picked by the kernel."""
    if saved and is_free(saved):
        return saved
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
