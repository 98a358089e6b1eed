"""What a process has started."""

import subprocess


def offspring(pid: int) -> set[int]:
    """The living processes that it started, those that these started, and so on."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    parents = {int(one): int(parent) for one, parent, state in map(str.split, rows.splitlines()) if state[0] != "Z"}
    found, newest = set[int](), {pid}
    while newest := {one for one, parent in parents.items() if parent in newest}:
        found |= newest
    return found
