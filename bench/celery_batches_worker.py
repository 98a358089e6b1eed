"""Baseline of the pipeline: celery-batches. Stores a batch with the statement that Triagem's worker uses per window.

`celery -A bench.celery_batches_worker:app worker -P solo`; its messages are tickets as JSON.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery_batches import Batches

from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.text import clean, digest
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import decode
from triagem.db import Database
from triagem.db.tickets.window import ClassifiedTicket, write_window

BATCH = 256  # the fastest size: it is slower with 32, the size of Triagem's micro-batches

app = Celery("batches", broker=os.environ.get("TRIAGEM_BENCH_BROKER", "redis://"))
app.conf.update(worker_prefetch_multiplier=BATCH, task_ignore_result=True, task_acks_late=True)
_DATABASE = Database(os.environ.get("TRIAGEM_DATABASE_URL", "postgresql://localhost/none"), disable_seqscan=True)


@app.task(base=Batches, flush_every=BATCH, flush_interval=0.1, name="bench.classify")  # type: ignore[untyped-decorator]
def classify(requests: Sequence[Any]) -> None:
    """Store a batch of tickets with a fixed prediction."""
    now = datetime.now(UTC)
    rows = []
    for request in requests:
        ticket = decode(request.args[0].encode())
        text = clean(ticket.text)
        probabilities = {"suporte": 0.1, "venda": 0.9}
        prediction = Prediction("venda", 0.9, probabilities, Band.AUTOMATE, "v1.0.0", len(text), False)
        rows.append(
            ClassifiedTicket(
                ticket, digest(text), Lane.BULK, now, 1, prediction=prediction, epoch=1, classified_at=now
            )
        )
    write_window(_DATABASE, rows)
