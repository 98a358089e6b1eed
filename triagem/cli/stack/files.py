"""Creates files and folders that only their owner may read, regardless of the umask.

Links are never followed: root writes in folders that other users can reach.
"""

import os
import stat
from io import BufferedWriter
from pathlib import Path
from typing import Final, Literal

from triagem.cli.stack.errors import StackFailed

PRIVATE: Final = 0o700
TRAVERSABLE: Final = 0o711  # other users may pass through, not list


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
