"""`python -m bench lane`: measures what a ticket costs Redis from enqueue to acknowledgement: CPU time and memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from triagem.contracts.ticket import Lane, accept
from triagem.contracts.wire import encode
from triagem.inbox import Inbox, connect
from triagem.stack import LocalStack

_BATCH = 256


@dataclass(frozen=True, slots=True)
class LaneBenchmark:
    """`cpu_us`: time of Redis' command thread per ticket. `bytes`: Redis memory per waiting ticket."""

    cpu_us: float
    bytes: float
    one_client_per_s: float


def run(texts: Sequence[str], *, seconds: float) -> LaneBenchmark:
    """Put, fetch and ack in batches of 256 on a temporary server that syncs every write to disk."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder:
        stack = LocalStack(Path(folder) / ".triagem")
        try:
            inbox = Inbox(connect(stack.start().redis_url))
            inbox.create_groups()
            return _measured(inbox, texts, seconds)
        finally:
            stack.erase()


def _measured(inbox: Inbox, texts: Sequence[str], seconds: float) -> LaneBenchmark:
    now = datetime.now(UTC)
    rows = [
        encode(accept({"source": "crm", "external_id": f"T-{number}", "text": text, "revised_at": now}, now=now))
        for number, text in enumerate(texts)
    ]
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    began, busy, done = time.monotonic(), _cpu_s(inbox), 0
    while time.monotonic() < began + seconds:
        for batch in batches:
            inbox.put(Lane.LIVE, batch)
            inbox.ack(inbox.fetch(Lane.LIVE, "bench", len(batch)))
            done += len(batch)
    elapsed, busy = time.monotonic() - began, _cpu_s(inbox) - busy
    empty = inbox.redis.info("memory")["used_memory"]
    waiting = 0
    while waiting < 20_000:
        for batch in batches:
            waiting += len(inbox.put(Lane.LIVE, batch))
    full = inbox.redis.info("memory")["used_memory"]
    return LaneBenchmark(cpu_us=busy / done * 1e6, bytes=(full - empty) / waiting, one_client_per_s=done / elapsed)


def _cpu_s(inbox: Inbox) -> float:
    spent = inbox.redis.info("cpu")
    return float(spent["used_cpu_user_main_thread"] + spent["used_cpu_sys_main_thread"])
