"""Which processes there are, and what one of them has started."""

import subprocess


def living() -> dict[int, int]:
    """Each process with its parent, but for the dead that nobody has buried yet."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(one): int(parent) for one, parent, state in map(str.split, rows.splitlines()) if state[0] != "Z"}


def offspring(pid: int) -> set[int]:
    """What it started, what these started, and so on."""
    parents, found, newest = living(), set[int](), {pid}
    while newest := {one for one, parent in parents.items() if parent in newest}:
        found |= newest
    return found
