"""Shared steps of the Redis and Postgres faults: a server is killed and restarted, or unavailable for some time."""

import time
from collections.abc import Callable

from tests.faults.catalog import Size
from tests.faults.rig import Rig
from triagem.stack.server import Server


def killed_and_restarted(rig: Rig, size: Size, server: Server) -> None:
    """Kill the server (SIGKILL) repeatedly while tickets are enqueued and two workers run."""
    workers = [rig.start(), rig.start()]
    with rig.producing(size.tickets):
        for kill in range(size.times):
            worker = rig.random.choice(workers)
            rig.busy(worker, stored=size.tickets * kill / size.times)
            server.kill()
            rig.expected.kills += 1
            server.start()
            rig.recovers()
    rig.drain()
    assert rig.workers.running == workers, "a worker did not survive"


def unavailable(rig: Rig, size: Size, stop: Callable[[], None], restart: Callable[[], None]) -> None:
    """Make the server unavailable for some seconds while tickets are enqueued and two workers run."""
    workers = [rig.start(), rig.start()]
    with rig.producing(size.tickets):
        rig.busy(workers[0], stored=size.tickets / 10)
        stop()
        try:
            time.sleep(size.seconds)
        finally:
            restart()
        rig.recovers()
    rig.drain()
    assert rig.workers.running == workers, "a worker did not survive"
