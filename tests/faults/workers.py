"""Worker processes of a fault. Only processes started here are ever signalled."""

import os
import re
import signal
from pathlib import Path
from typing import Any, Final, cast

from tests.faults.engine import ENGINE
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import GROUP, stream_key
from triagem.stack import Endpoints

ROOT: Final = Path(__file__).parents[2]
# Far below the 15 s of production, to keep runs short. Not below 2: a disk that stalls Redis' sync for longer than a
# lease expires the leases of live workers, and their entries are classified twice (seen at 1 s on busy cores).
LEASE_S: Final = 2.0


class WorkerProcesses:
    """Starts workers with a short lease, and knows which entries each one holds."""

    def __init__(self, endpoints: Endpoints, inbox: Inbox, models: Path, folder: Path) -> None:
        self._endpoints, self._inbox, self._models, self._folder = endpoints, inbox, models, folder
        self.started: list[WorkerProcess] = []

    def start(self, **environment: object) -> WorkerProcess:
        """Start a worker process; engine settings are `FAULT_…`."""
        settings: dict[str, object] = {
            "TRIAGEM_REGISTRY_URL": self._models,
            "TRIAGEM_ENGINE": ENGINE,
            "TRIAGEM_LEASE_S": LEASE_S,
            "TRIAGEM_CLAIM_EVERY_S": 0.1,
            "TRIAGEM_POLL_EVERY_S": 0.1,
            "PYTHONPATH": ROOT,
        }
        log = self._folder / f"worker-{len(self.started)}.log"
        values = {name: str(value) for name, value in (settings | environment).items()}
        worker = WorkerProcess(self._endpoints, log, **values)
        self.started.append(worker)
        return worker

    @property
    def running(self) -> list[WorkerProcess]:
        """Workers that have not exited."""
        return [worker for worker in self.started if worker.exit_status is None]

    def pending(self, worker: WorkerProcess, lane: Lane = Lane.LIVE) -> list[bytes]:
        """Entries of a lane that are pending for this worker."""
        return [entry for name in self._names(worker, lane) for entry in self._held(name, lane)]

    def is_busy(self, worker: WorkerProcess) -> bool:
        """Whether this process holds entries. Entries of a dead predecessor do not count."""
        return any(self.pending(worker, lane) for lane in Lane)

    def freeze(self, worker: WorkerProcess) -> None:
        """SIGSTOP: the process exists but does not run, and its lease expires."""
        os.kill(worker.pid, signal.SIGSTOP)

    def thaw(self, worker: WorkerProcess) -> None:
        """SIGCONT: the process continues."""
        os.kill(worker.pid, signal.SIGCONT)

    def wait_for_exit(self, worker: WorkerProcess, *, seconds: float = 30) -> int:
        """Wait until the worker exits on its own; returns the exit status."""
        until(lambda: worker.exit_status is not None, seconds=seconds)
        return worker.exit_status or 0

    def kill_all(self) -> None:
        """Kill all workers that are still running."""
        for worker in self.started:
            worker.kill()

    def _names(self, worker: WorkerProcess, lane: Lane) -> list[str]:
        try:
            with redis_errors():
                rows = cast("list[Any]", self._inbox.redis.xinfo_consumers(stream_key(lane), GROUP))
        except GroupMissing:
            return []
        names = [row["name"].decode() for row in rows]
        return [name for name in names if re.search(rf"-{worker.pid}-[0-9a-f]+$", name)]

    def _held(self, name: str, lane: Lane) -> list[bytes]:
        with redis_errors():
            rows = cast(
                "list[Any]", self._inbox.redis.xpending_range(stream_key(lane), GROUP, "-", "+", 10_000, name)
            )
        return [row["message_id"] for row in rows]
