"""The user and folder Postgres runs with. Postgres refuses to run as root, so root runs it as `nobody`.

Any other user runs it as themselves, in their own folder.
"""

import hashlib
import os
import pwd
import stat
from pathlib import Path
from typing import Final, TypedDict

from triagem.cli.stack.errors import StackFailed

FALLBACK_ROOT: Final = Path("/var/tmp")  # noqa: S108 - open to every user; `claim_folder` refuses a planted folder


class RunAs(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that change the user; empty to keep the current user."""

    user: int
    group: int
    extra_groups: list[int]


def run_as_unprivileged() -> RunAs:
    """The account `nobody` when running as root, else empty."""
    if os.geteuid() != 0:
        return RunAs()
    try:
        nobody = pwd.getpwnam("nobody")  # its uid is not 65534 on macOS
    except KeyError:
        raise StackFailed("Postgres refuses to run as root, and there is no user `nobody`: create one") from None
    return RunAs(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def open_to_everyone(path: Path) -> bool:
    """Whether every user may enter `path` and every folder above it."""
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def server_home(folder: Path, run_as: RunAs) -> Path:
    """`folder` if that user can reach it, else a folder in /var/tmp named after its hash."""
    if not run_as or open_to_everyone(folder.parent):
        return folder
    return FALLBACK_ROOT / f"triagem-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:8]}"
