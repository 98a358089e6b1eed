"""The worker processes of a fault. Only processes that were started here are ever signalled."""

import os
import re
import signal
from pathlib import Path
from typing import Any, Final, cast

from tests.faults.engine import ENGINE
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import GROUP, stream_key

ROOT: Final = Path(__file__).parents[2]
# Far under the 15 s of production, so that runs are short. Not under 2: a disk that stalls Redis' sync for longer
# than a lease ends the leases of the living, and what they hold is classified twice (seen at 1 s on busy cores).
LEASE_S: Final = 2.0


class Crew:
    """Starts workers with a short lease, and knows what each has in hand."""

    def __init__(self, endpoints: Endpoints, inbox: Inbox, models: Path, folder: Path) -> None:
        self._endpoints, self._inbox, self._models, self._folder = endpoints, inbox, models, folder
        self.started: list[WorkerProcess] = []

    def start(self, **environment: object) -> WorkerProcess:
        """One more worker process; settings of the engine are `FAULT_…`."""
        settings: dict[str, object] = {
            "TRIAGEM_REGISTRY_URL": self._models,
            "TRIAGEM_ENGINE": ENGINE,
            "TRIAGEM_LEASE_S": LEASE_S,
            "TRIAGEM_CLAIM_EVERY_S": 0.1,
            "TRIAGEM_LOOK_EVERY_S": 0.1,
            "PYTHONPATH": ROOT,
        }
        log = self._folder / f"worker-{len(self.started)}.log"
        values = {name: str(value) for name, value in (settings | environment).items()}
        worker = WorkerProcess(self._endpoints, log, **values)
        self.started.append(worker)
        return worker

    @property
    def left(self) -> list[WorkerProcess]:
        """Those that still run."""
        return [worker for worker in self.started if worker.exit_status is None]

    def pending(self, worker: WorkerProcess, lane: Lane = Lane.LIVE) -> list[bytes]:
        """The entries of a lane that Redis says this worker holds."""
        return [entry for name in self._names(worker, lane) for entry in self._held(name, lane)]

    def at_work(self, worker: WorkerProcess) -> bool:
        """Whether this very process holds entries. Those of a dead one before it do not count."""
        return any(self.pending(worker, lane) for lane in Lane)

    def freeze(self, worker: WorkerProcess) -> None:
        """SIGSTOP: it lives and does nothing, and its lease ends."""
        os.kill(worker.pid, signal.SIGSTOP)

    def thaw(self, worker: WorkerProcess) -> None:
        """SIGCONT: it goes on where it was."""
        os.kill(worker.pid, signal.SIGCONT)

    def ended(self, worker: WorkerProcess, *, seconds: float = 30) -> int:
        """Wait until it has ended by itself; its exit status."""
        until(lambda: worker.exit_status is not None, seconds=seconds)
        return worker.exit_status or 0

    def dismiss(self) -> None:
        """Kill all that are left."""
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
