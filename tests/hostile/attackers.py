"""`python -m tests.hostile.attackers`: runs the attackers in a process apart from the measuring one.

Reads a JSON object per line from standard input, and prints one for each attack.
"""

import asyncio
import json
import logging
import random
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from tests.hostile.attacks import ATTACKS, Attack, Target


class Attackers:
    """A started process."""

    def __init__(self, seed: int, **target: Any) -> None:
        """`target` has the values of `Target`: where to attack, and with which credentials."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.attackers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._send({"seed": seed, **target})

    def attack(
        self, attack: Attack, connections: int, seconds: float, rounds: int
    ) -> tuple[dict[str, int], list[str]]:
        """Attack for some seconds; or, with `rounds`, until that number of rounds is done.

        Returns the number of answers by status, and the problems found in answers.
        """
        self._send({"attack": attack.name, "connections": connections, "seconds": seconds, "rounds": rounds})
        assert self._process.stdout
        report = json.loads(self._process.stdout.readline())
        return report["statuses"], report["faults"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()


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
    results = await asyncio.gather(*tasks, return_exceptions=True)  # a cancelled one has a CancelledError
    target.faults += [f"the attack failed: {error!r}" for error in results if isinstance(error, Exception)]


def main() -> None:
    """Carry out the orders on standard input: the first is the target, each later one an attack."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a write after the gateway closed the connection
    values = json.loads(sys.stdin.readline())
    rng = random.Random(values.pop("seed"))
    for line in sys.stdin:
        order = json.loads(line)
        target = Target(**values, random=rng)
        attack = next(attack for attack in ATTACKS if attack.name == order["attack"])
        asyncio.run(_attack(target, attack, order["connections"], order["seconds"], order["rounds"]))
        print(json.dumps({"statuses": target.statuses, "faults": sorted(set(target.faults))}), flush=True)


if __name__ == "__main__":
    main()
