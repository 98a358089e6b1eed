"""Liveness and readiness as a heartbeat file: its age is that of the oldest thread heartbeat, its content is
`ready` or `starting`.

Not `inspect ping`: that needs Redis, and would restart every healthy worker during a Redis outage.
"""

import os
import threading
import time
from pathlib import Path
from typing import Final

from triagem.worker.supervisor import Supervisor

ALIVE_S: Final = 120.0  # above the slowest micro-batch: 32 texts of 512 tokens, bert-base on two cores
READY: Final = "ready"


def report(file: Path, supervisor: Supervisor, ready: threading.Event) -> None:
    """Update the file every second until the worker stops, then remove it."""
    while not supervisor.stopping.wait(1.0):
        supervisor.beat()
        write(file, READY if ready.is_set() else "starting", time.time() - supervisor.heartbeat_age_s())
    file.unlink(missing_ok=True)


def write(file: Path, content: str, heartbeat_at: float) -> None:
    """Write the file atomically: a probe never reads half of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(content, encoding="utf-8")
    os.utime(partial, (heartbeat_at, heartbeat_at))
    partial.replace(file)


def check(file: Path, *, max_age_s: float = ALIVE_S, need_ready: bool = False) -> str | None:
    """The problem of the worker that writes this file, or None if it is healthy."""
    try:
        age = time.time() - file.stat().st_mtime
        content = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"no heartbeat file {file}: the worker has not started, or has exited"
    if age > max_age_s:
        return f"a worker thread has sent no heartbeat for {age:.0f} s"
    if need_ready and content != READY:
        return "the worker is still loading its model"
    return None
