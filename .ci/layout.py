"""A check of `make lint`: `triagem/` links to the four folders at the root.

A clone with `core.symlinks=false` has small text files instead, and `import triagem.worker` fails.
"""

import os
import sys
from pathlib import Path

LINKED = ("db", "producer", "trainer", "worker")


def broken_links() -> list[str]:
    """One message for each link that is missing or points elsewhere."""
    package = Path("triagem")
    return [
        f"triagem/{name} is not a link to ../{name}: on Windows use WSL; `git config core.symlinks true`, clone again"
        for name in LINKED
        if not (package / name).is_symlink() or os.readlink(package / name) != f"../{name}"  # noqa: PTH115
    ]


if __name__ == "__main__":
    messages = broken_links()
    print("\n".join(messages) or "layout: the links are in place")
    sys.exit(bool(messages))
