"""Base class of the Redis and Postgres servers: a server outlives the process that started it and is adopted later.

It inherits a locked file, `alive`, that contains its pid. The server runs as long as the lock is held, so a pid that
the kernel has since reused is neither mistaken for the server nor signalled.
"""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import ClassVar, Final

from redis import AuthenticationError, Redis, RedisError

from triagem.stack import state
from triagem.stack.binaries import RunAs, valkey_server
from triagem.stack.state import LOOPBACK, PRIVATE, TRAVERSABLE, StackFailed, claim_folder, open_private, write_private

START_TIMEOUT_S: Final = 60.0  # after a crash, the server may have to replay a log before it answers
ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.defpath}  # our own environment is not inherited


class Server(ABC):
    """One server on a loopback port, with its files in `home`."""

    name: ClassVar[str]
    stop_signals: ClassVar[Sequence[tuple[Signals, float]]]  # from graceful to SIGKILL, each with seconds to wait

    def __init__(self, home: Path, run_as: RunAs) -> None:
        self.home = home
        self.port = state.choose_port()
        self.log = home / "server.log"
        self._alive = home / "alive"
        self._run_as = run_as
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, password included."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers now. Raises StackFailed if it rejects our password."""

    @abstractmethod
    def _prepare(self) -> None:
        """Write the files the server needs. Called only while it is down."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @property
    def alive(self) -> bool:
        """Whether the server, or any process it forked, still runs."""
        return state.is_held(self._alive)

    @property
    def pid(self) -> int | None:
        """The process id, None unless the server is alive."""
        if self.alive and state.wait_until(lambda: self._alive.stat().st_size > 0, 1):
            return int(self._alive.read_text())
        return None

    @property
    def hangs(self) -> bool:
        """Whether it runs and does not answer within seconds. One that died, or starts, does not listen."""
        with suppress(StackFailed):  # it answers, and rejects our password
            return self.alive and not self.is_ready() and not state.is_free(self.port)
        return False

    @property
    def exit_status(self) -> int | None:
        """The exit status of the process, negative for a signal; None if it runs, or another process started it."""
        return self._child.poll() if self._child else None

    def start(self) -> None:
        """Launch the server, or adopt one left running by a killed process; return when it answers."""
        if self.alive:
            return self._wait_until_ready()
        claim_folder(self.home, TRAVERSABLE if self._run_as else PRIVATE)
        self._prepare()
        self._launch()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def resume(self) -> None:
        """Let its processes continue that were frozen with SIGSTOP."""
        if pid := self.pid:
            with suppress(OSError):  # macOS has no /proc; a process may have ended
                os.kill(pid, SIGCONT)
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(child), SIGCONT)  # not killpg: each child of Postgres leads its own group

    def stop(self) -> None:
        """Stop the server gracefully; escalate if it takes too long."""
        self._signal_until_stopped(self.stop_signals)

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        self._signal_until_stopped([(SIGKILL, 10)])

    def _launch(self) -> None:
        with open_private(self._alive, "ab") as alive, open_private(self.log, "ab") as log:
            # Waits, because a concurrent `is_held` takes the lock for a moment.
            if not state.wait_until(lambda: state.acquire(alive), 1):
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
                start_new_session=True,  # Ctrl-C in the terminal must not reach the server while workers need it
                **self._run_as,
            )
            alive.write(b"%d" % self._child.pid)
        if not self.alive and self._child.poll() is None:  # on NFS a child does not inherit the lock
            self._child.kill()
            self._child.wait()
            raise StackFailed(f"file locks do not work in {self.home}: choose a folder on a local disk")

    def _wait_until_ready(self) -> None:
        if state.wait_until(lambda: not self.alive or self.is_ready(), START_TIMEOUT_S) and self.alive:
            return
        problem = f"did not answer within {START_TIMEOUT_S:.0f} s" if self.alive else "did not start"
        tail = " | ".join(self.log.read_text(errors="replace").splitlines()[-3:])
        raise StackFailed(f"{self.name} {problem}; the end of {self.log}: {tail}")

    def _signal_until_stopped(self, signals: Sequence[tuple[Signals, float]]) -> None:
        for number, seconds in signals:
            if pid := self.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            self.resume()  # a frozen process handles no other signal than SIGKILL
            if state.wait_until(lambda: not self.alive, seconds):
                break
        else:
            raise StackFailed(f"{self.name} does not stop: kill process {self.pid} by hand, then try again")
        if self._child:
            self._child.wait()
            self._child = None


# `dir .` is the folder it is launched in, so that no unusual path needs quoting; it logs to stdout.
CONFIG: Final = """\
bind {host}
port {port}
requirepass {password}
dir .
appendonly yes
appendfsync always
save ""
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
logfile ""
"""


class ValkeyServer(Server):
    """A Valkey server with its data in `folder`."""

    name = "Redis"
    stop_signals = ((SIGTERM, 30), (SIGKILL, 10))

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(folder, RunAs())
        self._password = password

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def is_ready(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2, retry=None) as client:
                return bool(client.ping())
        except AuthenticationError as error:
            fix = f"restore secrets.json, or kill process {self.pid}"
            raise StackFailed(f"Redis in {self.home} rejects the password in secrets.json: {fix}") from error
        except RedisError:
            return False

    def _prepare(self) -> None:
        content = CONFIG.format(host=LOOPBACK, port=self.port, password=self._password)
        write_private(self.home / "valkey.conf", content)

    def _command(self) -> Sequence[str | Path]:
        return [valkey_server(), "./valkey.conf"]
