"""A process that ends when the one that started it is gone, however that ended."""

import os
import signal
import threading


def end_with_parent() -> None:
    """Stop as on SIGTERM once standard input ends: it is a pipe that only our parent holds."""
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock, held here, would abort the interpreter at its end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
