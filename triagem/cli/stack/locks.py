"""Kernel locks on files, the one truth about who is alive: a killed process drops them, and pids are reused.

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


def until(ready: Callable[[], bool], seconds: float) -> bool:
    """Wait for `ready`, at most `seconds`; return what it said last."""
    deadline = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def take(file: IO[bytes], *, shared: bool = False) -> bool:
    """Take the lock if it is to be had now; return whether it was. Closing the file gives it back."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def held(path: Path) -> bool:
    """Whether somebody holds the exclusive lock; asked with a shared one, so askers don't collide."""
    try:
        with path.open("rb") as file:
            return not take(file, shared=True)
    except FileNotFoundError:
        return False


def drop(file: IO[bytes]) -> None:
    """Give the lock back even where a fork of ours still has the file open."""
    fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def exclusive(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock during a block; raise StackFailed if others keep it for longer than `seconds`."""
    with open_private(path, "ab") as file:
        if not until(lambda: take(file), seconds):
            raise StackFailed(f"another process has held {path} for {seconds:.0f} s: let it finish, or end it")
        yield
