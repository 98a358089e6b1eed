"""Stops a child process when its parent is gone, however the parent ended."""

import os
import signal
import threading


def end_with_parent() -> None:
    """Stop as on SIGTERM when standard input ends: it is a pipe that only the parent holds."""
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):  # not sys.stdin: holding its lock here would abort the interpreter at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)
