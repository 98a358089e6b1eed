"""Files and folders that only their owner may read, whatever the umask says.

Nothing here follows a link: root writes in folders that others can reach.
"""

import os
import stat
from io import BufferedWriter
from pathlib import Path
from typing import Final, Literal

from triagem.cli.stack.errors import StackFailed

PRIVATE: Final = 0o700
PASSABLE: Final = 0o711  # others may walk through, not look around


def claim_folder(folder: Path, mode: int) -> None:
    """Create `folder`, or take it over if it is ours: in a shared parent it may be somebody's trap."""
    folder.mkdir(mode=PRIVATE, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StackFailed(f"{folder} is a link or another user's: remove it, or choose another folder")
    folder.chmod(mode)


def open_private(path: Path, mode: Literal["ab", "wb"]) -> BufferedWriter:
    """`open` for a file of mode 0600."""
    file = open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))  # noqa: SIM115
    os.fchmod(file.fileno(), 0o600)
    return file


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step: no reader and no crash ever meets half of it."""
    draft = path.with_name(f"{path.name}.new")
    with open_private(draft, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
