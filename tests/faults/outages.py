"""What happens to either server in the same way: it is killed and restarted, or away for a while."""

import time
from collections.abc import Callable

from tests.faults.catalog import Size
from tests.faults.rig import Rig
from triagem.cli.stack.server import Server


def killed_and_restarted(rig: Rig, size: Size, server: Server) -> None:
    """kill -9 in mid-run, again and again, while tickets are handed in and two workers work."""
    workers = [rig.start(), rig.start()]
    with rig.producing(size.tickets):
        for kill in range(size.times):
            worker = rig.dice.choice(workers)
            rig.busy(worker, stored=size.tickets * kill / size.times)
            server.kill()
            rig.book.kills += 1
            server.start()
            rig.recovers()
    rig.drain()
    assert rig.crew.left == workers, "a worker did not live through it"


def away(rig: Rig, size: Size, leave: Callable[[], None], come_back: Callable[[], None]) -> None:
    """Gone for some seconds while tickets are handed in and two workers work."""
    workers = [rig.start(), rig.start()]
    with rig.producing(size.tickets):
        rig.busy(workers[0], stored=size.tickets / 10)
        leave()
        try:
            time.sleep(size.seconds)
        finally:
            come_back()
        rig.recovers()
    rig.drain()
    assert rig.crew.left == workers, "a worker did not live through it"
