"""Running processes, and the descendants of one of them."""

import subprocess


def process_parents() -> dict[int, int]:
    """Process id → parent id, without zombies."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent, state in map(str.split, rows.splitlines()) if state[0] != "Z"}


def descendants(pid: int) -> set[int]:
    """All direct and indirect child processes."""
    parents, children, newest = process_parents(), set[int](), {pid}
    while newest := {child for child, parent in parents.items() if parent in newest}:
        children |= newest
    return children
