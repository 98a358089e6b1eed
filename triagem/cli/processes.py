"""Processes that a command starts: with their log in a file, and an end when their parent ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from triagem.cli.stack import Endpoints


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind the stack like an error does, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class ChildProcess:
    """One `triagem` command that serves, with settings beside ours. Without a log, it speaks where we speak."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: Path | None = None) -> None:
        self.log = log
        # Its own session: Ctrl-C in the terminal reaches us, and we stop it in order. Its standard input is a
        # pipe that only we hold: if we are killed, it ends with us.
        with log.open("ab") if log else nullcontext() as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "triagem.cli.main", *command, "--with-parent"],
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def abandon(self) -> None:
        """Let go of the pipe, as our own death would: the worker stops as on SIGTERM."""
        assert self._process.stdin
        self._process.stdin.close()

    def kill(self) -> None:
        """SIGKILL, to what it started too, and wait for the end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # its session is its own
        self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM: it finishes what is in hand."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = 70.0) -> int:
        """Ask it to stop, and wait. Killed if it does not end in time; returns the exit status."""
        if self._process.poll() is None:
            self.ask_to_stop()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def why_ended(self) -> str:
        """The last line of its log."""
        if self.log is None:
            return "see its lines above"
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class WorkerProcess(ChildProcess):
    """One `triagem worker`, `ops`, `beat` or `gateway`, on the local stack."""

    log: Path

    def __init__(self, endpoints: Endpoints, log: Path, command: str = "worker", **settings: str) -> None:
        servers = {
            "TRIAGEM_REDIS_URL": endpoints.redis_url,
            "TRIAGEM_BROKER_URL": endpoints.broker_url,
            "TRIAGEM_DATABASE_URL": endpoints.writer_url,  # reads and writes rows, changes no table
        }
        super().__init__([command], servers | settings, log)
