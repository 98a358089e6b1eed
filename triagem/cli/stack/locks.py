"""Kernel file locks, which show which processes are alive: a killed process drops them, while pids are reused.

A lock belongs to an open file. Children that inherit the file hold the lock too, until the last of them ends.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from triagem.cli.stack.errors import StackFailed
from triagem.cli.stack.files import open_private


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
