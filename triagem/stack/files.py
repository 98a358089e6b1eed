"""Private files and folders, whatever the umask, and the file locks that show whether a server is running.

Links are never followed: root writes in folders that other users can reach.
"""

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import IO, Final, Literal

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
