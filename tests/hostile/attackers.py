"""`python -m tests.hostile.attackers`: the attackers as one process, so that they do not slow down who measures.

Reads one JSON object from standard input, prints one.
"""

import asyncio
import json
import logging
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.hostile.attacks import ATTACKS, Attack, Target


@dataclass(frozen=True, slots=True)
class Attackers:
    """A started process."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, attack: Attack, connections: int, seconds: float, rounds: int, **target: Any) -> "Attackers":
        """Attack for some seconds; or, with `rounds`, until that number of rounds is done."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.attackers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        order = {"attack": attack.name, "connections": connections, "seconds": seconds, "rounds": rounds}
        process.stdin.write(json.dumps(order | {"target": target}))
        process.stdin.close()
        return cls(process)

    def result(self) -> tuple[dict[str, int], list[str]]:
        """Wait for the end; the number of answers by status, and what was wrong with answers."""
        assert self.process.stdout
        report = json.loads(self.process.stdout.read())
        self.process.wait()
        return report["statuses"], report["faults"]


async def _attack(target: Target, attack: Attack, connections: int, seconds: float, rounds: int) -> None:
    end, started = time.monotonic() + seconds, 0

    async def connection() -> None:
        nonlocal started
        while started < rounds if rounds else time.monotonic() < end:
            started += 1
            with suppress(OSError):
                await attack.act(target)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(connection()) for _ in range(connections)]
    _, pending = await asyncio.wait(tasks, timeout=None if rounds else seconds)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Carry out the order on standard input."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # writes after the gateway has closed a connection
    order = json.load(sys.stdin)
    seed = order["target"].pop("seed")
    target = Target(**order["target"], random=random.Random(seed))
    attack = next(attack for attack in ATTACKS if attack.name == order["attack"])
    asyncio.run(_attack(target, attack, order["connections"], order["seconds"], order["rounds"]))
    json.dump({"statuses": target.statuses, "faults": sorted(set(target.faults))}, sys.stdout)


if __name__ == "__main__":
    main()
