"""What Valkey and Postgres share: a server that outlives whoever started it, and is found again.

It inherits a locked file, `alive`, that holds its pid. While the lock is held the server runs, so a pid that
the kernel has given to somebody else since is neither mistaken for it nor signalled.
"""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, Signals
from typing import ClassVar, Final

from triagem.cli.stack import locks, ports
from triagem.cli.stack.account import RunAs
from triagem.cli.stack.errors import StackFailed
from triagem.cli.stack.files import PASSABLE, PRIVATE, claim_folder, open_private

PATIENCE: Final = 60.0  # seconds: after a crash, a log may have to be replayed before the first answer
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.defpath}  # nothing of ours leaks in


class Server(ABC):
    """One server on a loopback port, with its files in `home`."""

    name: ClassVar[str]
    farewell: ClassVar[Sequence[tuple[Signals, float]]]  # from polite to final, with seconds to wait for each

    def __init__(self, home: Path, port: int | None, run_as: RunAs) -> None:
        self.home = home
        self.port = port or ports.choose()
        self.log = home / "server.log"
        self._alive = home / "alive"
        self._run_as = run_as
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, password included."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves us now. Raises StackFailed if it refuses our password."""

    @abstractmethod
    def _prepare(self) -> None:
        """Write the files that it needs; called only while it is down."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @property
    def alive(self) -> bool:
        """Whether it, or any process that it forked, still runs."""
        return locks.held(self._alive)

    @property
    def pid(self) -> int | None:
        """Its process id while it is alive."""
        if self.alive and locks.until(lambda: self._alive.stat().st_size > 0, 1):
            return int(self._alive.read_text())
        return None

    def start(self) -> None:
        """Launch it, or adopt one that its killed owner left running; return when it answers."""
        if self.alive:
            return self._await_answer()
        claim_folder(self.home, PASSABLE if self._run_as else PRIVATE)
        self._prepare()
        self._launch()
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it cleanly, or harder when its time is up."""
        self._end(self.farewell)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end([(SIGKILL, 10)])

    def restart(self) -> None:
        """Stop it if it is alive, and start it on the same port and data."""
        self.stop()
        self.start()

    def _launch(self) -> None:
        with open_private(self._alive, "ab") as alive, open_private(self.log, "ab") as log:
            if not locks.until(lambda: locks.take(alive), 1):  # somebody may be asking `held` this very moment
                raise StackFailed(f"another process is starting {self.name} in {self.home}: wait for it")
            alive.truncate(0)
            self._child = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env=ENVIRONMENT,
                pass_fds=[alive.fileno()],
                start_new_session=True,  # a Ctrl-C in our terminal must not reach it while workers need it
                **self._run_as,
            )
            alive.write(b"%d" % self._child.pid)
        if not self.alive and self._child.poll() is None:  # NFS: there a lock isn't inherited
            self._child.kill()
            self._child.wait()
            raise StackFailed(f"file locks do not work in {self.home}: choose a folder on a local disk")

    def _await_answer(self) -> None:
        if locks.until(lambda: not self.alive or self.answers(), PATIENCE) and self.alive:
            return
        what = f"gave no answer in {PATIENCE:.0f} s" if self.alive else "did not start"
        tail = " | ".join(self.log.read_text(errors="replace").splitlines()[-3:])
        raise StackFailed(f"{self.name} {what}; the end of {self.log}: {tail}")

    def _end(self, farewell: Sequence[tuple[Signals, float]]) -> None:
        for number, seconds in farewell:
            if pid := self.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if locks.until(lambda: not self.alive, seconds):
                break
        else:
            raise StackFailed(f"{self.name} does not end: end process {self.pid} by hand, then try again")
        if self._child:
            self._child.wait()
            self._child = None
