"""A temporary folder that is cleaned up even if the process is killed: the next call removes it."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final

_NEW_S: Final = 60.0  # seconds; a younger folder may not be locked yet


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder in `parent`, or in the system's. Removed at the end, unless it was renamed.

    First removes the folders with this prefix that killed processes have left behind: their lock is free.
    """
    parent = parent or Path(gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError), _opened(folder) as left:  # OSError: another user's, or in use
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(left).st_mtime > _NEW_S:
                shutil.rmtree(folder)
    folder = Path(mkdtemp(prefix=prefix, dir=parent))
    try:
        with _opened(folder) as own:
            with suppress(OSError):  # NFS cannot lock folders: on NFS, no folder is removed above
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
