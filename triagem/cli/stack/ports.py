"""Ports on the loopback interface: whether one is free, and which one to take.

A port is only looked at here, not held: whoever listens first has it.
"""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; one that rests in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(saved: int | None = None) -> int:
    """The saved port if nobody else has taken it, else a free one that the kernel picks."""
    if saved and is_free(saved):
        return saved
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
