"""As whom Postgres runs, and where. It refuses to be root, so root runs it as `nobody`, who must get in.

Anybody else runs it as who they are, in their own folder.
"""

import hashlib
import os
import pwd
import stat
from pathlib import Path
from typing import Final, TypedDict

from triagem.cli.stack.errors import StackFailed

REFUGE: Final = Path("/var/tmp")  # noqa: S108 - anyone may enter it; `claim_folder` refuses a planted one


class RunAs(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that change the user; empty when we stay who we are."""

    user: int
    group: int
    extra_groups: list[int]


def unprivileged() -> RunAs:
    """`nobody` when we are root, else nothing."""
    if os.geteuid() != 0:
        return RunAs()
    try:
        nobody = pwd.getpwnam("nobody")  # not 65534 everywhere: macOS
    except KeyError:
        raise StackFailed("Postgres refuses to run as root, and there is no user `nobody`: add one") from None
    return RunAs(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def enterable(path: Path) -> bool:
    """Whether any user may use `path`: it and every folder above it let everybody pass."""
    path = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def home_for(folder: Path, run_as: RunAs) -> Path:
    """`folder` where that user can reach it, else a folder in /var/tmp that is named after it."""
    if not run_as or enterable(folder.parent):
        return folder
    return REFUGE / f"triagem-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:8]}"
