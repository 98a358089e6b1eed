"""Child processes of a command: they log to a file and stop when their parent ends."""

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
    """Turn SIGTERM into SystemExit, so that cleanup code runs and child processes are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class ChildProcess:
    """One long-running `triagem` command, with extra settings. Without a log file it inherits our output streams."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: Path | None = None) -> None:
        self.log = log
        # A separate session: Ctrl-C in the terminal reaches only this process, which then stops its children in
        # order. The child's standard input is a pipe that only this process holds: if this process is killed, the
        # pipe closes and the child stops.
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
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while the process runs."""
        return self._process.poll()

    def close_stdin(self) -> None:
        """Close the pipe, as the parent's death would: the child stops as on SIGTERM."""
        assert self._process.stdin
        self._process.stdin.close()

    def kill(self) -> None:
        """Send SIGKILL to the process and its children, and wait."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # the child leads its own session
        self._process.wait()

    def terminate(self) -> None:
        """Send SIGTERM: the process finishes its current work, then exits."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = 70.0) -> int:
        """Send SIGTERM and wait, SIGKILL after `timeout_s`. Returns the exit status."""
        if self._process.poll() is None:
            self.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def exit_reason(self) -> str:
        """The last line of the log."""
        if self.log is None:
            return "see its log lines above"
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "its log is empty"

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
            "TRIAGEM_DATABASE_URL": endpoints.writer_url,  # may read and write rows, not alter tables
        }
        super().__init__([command], servers | settings, log)
