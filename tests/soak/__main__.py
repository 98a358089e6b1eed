"""`python -m tests.soak`: runs a soak and prints its verdict; exits 1 if anything is wrong."""

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy import text

from tests.faults.rig import Rig
from tests.soak.chaos import Chaos, Processes
from tests.soak.traffic import SOURCE, Traffic
from tests.support.delivery import make_due, verified_data
from tests.support.receiver import OK, UNAVAILABLE, CannedResponse, ReceivedRequest, Receiver
from triagem import Client
from triagem.cli.processes import exit_on_sigterm
from triagem.contracts.errors import Retryable
from triagem.db.auth import Scope, create_key
from triagem.inbox.stream import PREFIX
from triagem.ops.verify import verify

_MAX_KEYS = 40  # keys of streams, leases, markers and Celery; no key per ticket
_MAX_MIB = 600  # with the processes that ops forks
_MAX_GROWTH_MIB = 20
_MAX_REDIS_GROWTH_MIB = 4
_END_S = 180


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 if the verdict is clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.startswith(("TRIAGEM_", "FAULT_"))]:
        del os.environ[name]
    exit_on_sigterm()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {options.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="triagem-soak-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Rig(Path(folder), options.seed) as rig, rig.clean("soak"):
            verdict = soak(rig, options.seconds)
    print(json.dumps({"seed": options.seed, "seconds": options.seconds, **verdict}, indent=2))
    return 1 if verdict["problems"] else 0


def soak(rig: Rig, seconds: float) -> dict[str, object]:
    """Run it and return the verdict."""
    failures = random.Random(f"{rig.seed} receiver")

    def respond(_: ReceivedRequest) -> CannedResponse:
        return UNAVAILABLE if failures.random() < 0.2 else OK

    receiver = Receiver(respond)
    processes = Processes(rig, receiver.url)
    _, key = create_key(rig.database, "crm", [Scope.ENQUEUE])
    chaos = Chaos(rig, processes)
    problems: list[str] = []
    redis_mib = _redis_mib(rig)
    with receiver.open(), Client(f"http://127.0.0.1:{processes.gateway_port}", key) as client:
        traffic = Traffic(rig, f"{rig.seed} traffic", client)
        try:
            processes.keep_running()
            traffic.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(rig.random.uniform(0.5, 3))
                chaos.strike()
                processes.keep_running()
                processes.measure()
            traffic.finish()
            problems += _unfinished(rig, processes)
            memory = processes.measure()
        finally:
            processes.kill_all()
        rig.expected.versions = {key: {"v1.0.0", "v1.1.0"} for key in rig.expected.revisions}
        outcome = rig.outcome()
        problems += [f"db verify: {name}: {result}" for name, result in verify(rig.database, rig.inbox) if result]
        problems += _wrong_runs(rig) + _wrong_receiver(rig, receiver)
    redis = rig.inbox.redis
    redis.delete(b"", *redis.scan_iter(f"{PREFIX}:once:*", count=1000))  # answers stored for repeated requests
    keys = redis.dbsize()
    problems += [f"{keys} keys in Redis"] if keys > _MAX_KEYS else []
    problems += [f"{name} uses {mib:.0f} MiB" for name, mib in memory.items() if mib > _MAX_MIB]
    growth = {**processes.growth_mib(), "Redis": round(_redis_mib(rig) - redis_mib, 1)}
    limits = {"Redis": _MAX_REDIS_GROWTH_MIB}
    problems += [
        f"{name} grew by {mib} MiB" for name, mib in growth.items() if mib > limits.get(name, _MAX_GROWTH_MIB)
    ]
    counts = {"lost": outcome.lost, "duplicate rows": outcome.duplicate_rows, "dead letters": outcome.wrongly_dead}
    problems += [f"{number} {name}" for name, number in counts.items() if number]
    return {
        "revisions": sum(map(len, rig.expected.revisions.values())),
        "tickets": len(rig.expected.revisions),
        "events": chaos.events,
        "starts": processes.starts,
        "requests": len(receiver.received),
        "redis_keys": keys,
        "by_http": traffic.by_http,
        "resident_mib": {name: round(mib) for name, mib in memory.items()},
        "growth_mib": growth,
        "problems": problems,
    }


def _unfinished(rig: Rig, processes: Processes) -> list[str]:
    """Wait until all work has ended. Work that is still unfinished after some minutes is a problem."""
    end = time.monotonic() + _END_S
    while time.monotonic() < end:
        processes.keep_running()
        with suppress(Retryable):  # a deadlock: windows being stored lock the same deliveries, in another order
            make_due(rig.database)
        under_way = {
            "entries": rig.waiting(),
            "deliveries": _number(rig, "SELECT count(*) FROM deliveries WHERE state = 'waiting'"),
            "runs": _number(rig, "SELECT count(*) FROM reclassify_runs WHERE state IN ('running', 'paused')"),
        }
        if not any(under_way.values()):
            return []
        time.sleep(1)
    return [f"after {_END_S} s, {number} {name} are still under way" for name, number in under_way.items() if number]


def _wrong_runs(rig: Rig) -> list[str]:
    """Runs that ended as done with counts that differ from their records."""
    with rig.database.autocommit() as connection:
        rows = connection.execute(
            text("""
            SELECT r.id, r.put, r.done + r.unchanged + r.changed + r.gone + r.failed AS processed,
              (SELECT count(*) FROM run_changes c WHERE c.run_id = r.id) AS recorded
            FROM reclassify_runs r WHERE r.state = 'done'
            """)
        ).all()
    return [f"run {row.id}: {row}" for row in rows if not row.put == row.processed == row.recorded]


def _wrong_receiver(rig: Rig, receiver: Receiver) -> list[str]:
    """Tickets whose last callback does not have the current label. Imported tickets have no callbacks."""
    last = {data["external_id"]: data["label"] for data in map(verified_data, receiver.received)}
    with rig.database.autocommit() as connection:
        query = text("""
        SELECT external_id, label FROM results
        WHERE source = :source AND ticket_id IN (SELECT ticket_id FROM deliveries)
        """)
        current = {row.external_id: row.label for row in connection.execute(query, {"source": SOURCE})}
    wrong = [number for number in current.keys() | last.keys() if current.get(number) != last.get(number)]
    return [f"{len(wrong)} of {len(current)} tickets have another label at the receiver"] if wrong else []


def _redis_mib(rig: Rig) -> float:
    return float(rig.inbox.redis.info("memory")["used_memory"]) / 2**20


def _number(rig: Rig, statement: str) -> int:
    with rig.database.autocommit() as connection:
        return int(connection.execute(text(statement)).scalar_one())


if __name__ == "__main__":
    sys.exit(main())
