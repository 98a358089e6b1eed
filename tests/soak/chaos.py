"""The processes of a soak, their memory, and the random things that happen to them."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.engine import ENGINE
from tests.faults.postgres_faults import stopped
from tests.faults.rig import Rig
from tests.faults.workers import LEASE_S, ROOT
from tests.support.delivery import crm_file
from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import InvalidInput, Retryable
from triagem.db import runs
from triagem.db.runs import RunPlan
from triagem.stack.server import Server
from triagem.stack.state import choose_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMANDS: Final = {
    "worker-1": "worker", "worker-2": "worker", "ops": "ops", "beat": "beat", "gateway": "gateway",
}  # fmt: skip
_WARM_S: Final = 30.0  # after this time, a process has loaded its imports and filled its caches


class Processes:
    """Two workers, ops, beat and a gateway. A process that ends is restarted, as by a supervisor."""

    def __init__(self, rig: Rig, receiver_url: str) -> None:
        self._rig = rig
        self.gateway_port = choose_port()
        self._settings = {
            "TRIAGEM_GATEWAY_PORT": str(self.gateway_port),
            "TRIAGEM_REGISTRY_URL": str(rig.registry.root),
            "TRIAGEM_ENGINE": ENGINE,
            "TRIAGEM_LEASE_S": str(LEASE_S),
            "TRIAGEM_CLAIM_EVERY_S": "0.2",
            "TRIAGEM_POLL_EVERY_S": "0.2",
            "TRIAGEM_STATEMENT_TIMEOUT_S": "2",
            "TRIAGEM_DELIVER_EVERY": "1s",
            "TRIAGEM_RECLASSIFY_EVERY": "1s",
            "TRIAGEM_CRM_FILE": str(crm_file(rig.folder, callback=receiver_url)),
            "PYTHONPATH": str(ROOT),
        }
        self.running: dict[str, WorkerProcess] = {}
        self.starts = 0
        self._measured: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def keep_running(self) -> None:
        """Start the processes that are not running."""
        for name, command in _COMMANDS.items():
            if (process := self.running.get(name)) is None or process.exit_status is not None:
                log = self._rig.folder / f"{name}.log"
                self.running[name] = WorkerProcess(self._rig.endpoints, log, command, **self._settings)
                self.starts += 1

    def kill_all(self) -> None:
        """Kill all of them."""
        for process in self.running.values():
            process.kill()

    def measure(self) -> dict[str, float]:
        """The resident memory of each running process and its children in MiB, by its name; remembers it."""
        now, sizes = time.monotonic(), _resident_mib()
        measured = {}
        for name, process in self.running.items():
            if process.exit_status is None and (mib := sizes.get(process.pid)):
                measured[name] = mib
                self._measured.setdefault((name, process.pid), []).append((now, mib))
        return measured

    def growth_mib(self) -> dict[str, float]:
        """The growth in MiB by process name: the largest growth of a process that ran long enough.

        Compares the medians of the second quarter and of the last quarter of a process's life.
        """
        growth: dict[str, float] = {}
        for (name, _), samples in self._measured.items():
            start, end = samples[0][0], samples[-1][0]
            quarter = (end - start) / 4
            early = [mib for at, mib in samples if quarter <= at - start <= 2 * quarter]
            late = [mib for at, mib in samples if at - start >= 3 * quarter]
            if quarter >= _WARM_S and early and late:  # on a busy machine, samples may be far apart
                increase = round(statistics.median(late) - statistics.median(early), 1)
                growth[name] = max(growth.get(name, 0.0), increase)
        return growth


def _resident_mib() -> dict[int, float]:
    """The resident memory of each process group: a process of the soak with its children."""
    sizes: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            group = os.getpgid(int(folder.name))
            pages = int((folder / "statm").read_text().split()[1])
            sizes[group] = sizes.get(group, 0.0) + pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return sizes


class Chaos:
    """One random event at a time; counts them by name."""

    def __init__(self, rig: Rig, processes: Processes) -> None:
        self._rig, self._processes = rig, processes
        self.events: dict[str, int] = {}
        self._kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "process killed": (5, self._kill),
            "process frozen": (4, self._freeze),
            "Postgres killed": (1, lambda: self._restart(rig.stack.postgres)),
            "Redis killed": (1, lambda: self._restart(rig.stack.valkey)),
            "Postgres frozen": (2, lambda: self._freeze_server(rig.stack.postgres)),
            "Redis frozen": (2, lambda: self._freeze_server(rig.stack.valkey)),
            "promotion": (2, self._promote),
            "run started": (2, self._start_run),
        }

    def strike(self) -> None:
        """Cause one event, chosen at random."""
        names = list(self._kinds)
        (name,) = self._rig.random.choices(names, [self._kinds[kind][0] for kind in names])
        self._kinds[name][1]()
        self.events[name] = self.events.get(name, 0) + 1

    def _kill(self) -> None:
        self._victim().kill()
        self._rig.expected.kills += 1

    def _freeze(self) -> None:
        with _frozen(self._victim()):
            time.sleep(self._rig.random.uniform(0.2, 3 * LEASE_S))

    def _restart(self, server: Server) -> None:
        server.kill()
        server.start()

    def _freeze_server(self, server: Server) -> None:
        with stopped(server):
            time.sleep(self._rig.random.uniform(0.2, 3 * LEASE_S))

    def _promote(self) -> None:
        current = self._rig.registry.current().version
        self._rig.registry.promote("v1.0.0" if current == "v1.1.0" else "v1.1.0")

    def _start_run(self) -> None:
        current = self._rig.registry.current()
        shadow = self._rig.random.random() < 0.3
        version = {"v1.0.0": "v1.1.0", "v1.1.0": "v1.0.0"}[current.version] if shadow else current.version
        with suppress(InvalidInput, Retryable):  # another run is active
            runs.start(self._rig.database, RunPlan(version, current.epoch, shadow=shadow, notify_flips=True))

    def _victim(self) -> WorkerProcess:
        return self._processes.running[self._rig.random.choice(list(_COMMANDS))]


@contextmanager
def _frozen(process: WorkerProcess) -> "Iterator[None]":
    """SIGSTOP to the process and its children, then SIGCONT."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
