"""`triagem bench lane`: what a ticket costs Redis from put to settled, which says how much one Redis carries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from triagem.cli.stack import LocalStack
from triagem.contracts.ticket import Lane, accept
from triagem.contracts.wire import encode
from triagem.inbox import Inbox, connect

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Report:
    """`cpu_us`: of Redis' one thread that runs commands, a ticket. `bytes`: of its memory, a ticket that waits."""

    cpu_us: float
    bytes: float
    one_client_per_s: float


def run(texts: Sequence[str], *, seconds: float) -> Report:
    """Put, take and settle by 256 on a server of its own, synced to disk always."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder:
        stack = LocalStack(Path(folder) / ".triagem")
        try:
            inbox = Inbox(connect(stack.start().redis_url))
            inbox.make_groups()
            return _measured(inbox, texts, seconds)
        finally:
            stack.erase()


def _measured(inbox: Inbox, texts: Sequence[str], seconds: float) -> Report:
    now = datetime.now(UTC)
    rows = [
        encode(accept({"source": "crm", "external_id": f"T-{one}", "text": text, "revised_at": now}, now=now))
        for one, text in enumerate(texts)
    ]
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    began, busy, done = time.monotonic(), _cpu_s(inbox), 0
    while time.monotonic() < began + seconds:
        for batch in batches:
            inbox.put(Lane.LIVE, batch)
            inbox.settle(inbox.take(Lane.LIVE, "bench", len(batch)))
            done += len(batch)
    took, busy = time.monotonic() - began, _cpu_s(inbox) - busy
    empty = inbox.redis.info("memory")["used_memory"]
    waiting = 0
    while waiting < 20_000:
        for batch in batches:
            waiting += len(inbox.put(Lane.LIVE, batch))
    full = inbox.redis.info("memory")["used_memory"]
    return Report(cpu_us=busy / done * 1e6, bytes=(full - empty) / waiting, one_client_per_s=done / took)


def _cpu_s(inbox: Inbox) -> float:
    spent = inbox.redis.info("cpu")
    return float(spent["used_cpu_user_main_thread"] + spent["used_cpu_sys_main_thread"])
