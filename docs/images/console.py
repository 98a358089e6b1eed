"""Pictures of each page of the console, light, dark and as on a phone: `python docs/images/console.py`.

The tickets are the sample export's; labels and confidences are made up, no model is asked.
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
from tests.support.tested import register_tested  # noqa: E402
from triagem.cli.stack import LocalStack  # noqa: E402
from triagem.contracts.prediction import Band, Prediction  # noqa: E402
from triagem.contracts.ticket import Identity, Lane, Ticket  # noqa: E402
from triagem.db import Database, dead, runs  # noqa: E402
from triagem.db.alerts import DRIFT, raise_alert  # noqa: E402
from triagem.db.keys import Scope, create  # noqa: E402
from triagem.db.reviews import judge  # noqa: E402
from triagem.db.search import learn  # noqa: E402
from triagem.db.upgrade import upgrade  # noqa: E402
from triagem.db.window import Classified, write  # noqa: E402
from triagem.gateway.room import Room  # noqa: E402
from triagem.gateway.settings import GatewaySettings  # noqa: E402
from triagem.inbox import Inbox, connect  # noqa: E402
from triagem.inbox.lease import Lease  # noqa: E402
from triagem.registry import Registry  # noqa: E402
from triagem.trainer.assess import assess  # noqa: E402
from triagem.trainer.data import Row  # noqa: E402

HERE = Path(__file__).parent
CHANCE = random.Random(7)
LOOKS = {"light": ("light", "wide"), "dark": ("dark", "wide"), "phone": ("light", "phone")}
METRICS = {"accuracy": 0.97, "mflops_per_token": 21.3}
PAGES = {
    "login": "login", "overview": "overview", "review": "review", "tickets": "tickets?words=internet",
    "ticket": "ticket?source=zendesk&id=T-10133", "models": "models", "model": "model?version=v1.1.0",
    "operations": "operations",
}  # fmt: skip


def report() -> str:
    """A version's report over made-up answers, as many of them wrong as the gate counts."""
    labels, rows, said = ("suporte", "venda"), list[Row](), list[list[float]]()
    for place in range(300):
        truth, right = place % 2, place >= 9
        share = min(0.99, 1 - abs(CHANCE.gauss(0, 0.06 if right else 0.3)))
        rows.append(Row(f"text {place}", labels[truth]))
        said.append([share, 1 - share] if (truth == 0) is right else [1 - share, share])
    return assess(rows, labels, said).model_dump_json()


def fill(database: Database, inbox: Inbox, registry: Registry) -> None:
    """Something of everything that there is to see."""
    now = datetime.now(UTC)
    register_tested(
        registry, wrong=range(60), created_at=now - timedelta(days=30), metrics=METRICS | {"accuracy": 0.8}
    )
    register_tested(registry, wrong=range(9), created_at=now - timedelta(days=1), metrics=METRICS, report=report())
    registry.promote("v1.0.0")
    rows = []
    with (ROOT / "examples/crm_export.csv").open(encoding="utf-8") as file:
        for place, row in enumerate(csv.DictReader(file)):
            at = now - timedelta(minutes=CHANCE.triangular(1, 2800, 200))
            confidence = 1 - abs(CHANCE.gauss(0, 0.14)) if place % 8 else CHANCE.uniform(0.5, 0.75)
            label = CHANCE.choice(("suporte", "suporte", "venda"))
            other = {"suporte": "venda", "venda": "suporte"}[label]
            confidence = max(0.5, confidence)
            band = Band.AUTOMATE if confidence >= 0.7 else Band.REVIEW
            said = Prediction(
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
            rows.append(Classified(ticket, row["id"].encode(), said, 1, Lane.LIVE, at, at))
    write(database, rows)
    learn(database)
    for one in rows[:12]:
        judge(database, Identity("zendesk", one.ticket.external_id), CHANCE.choice(("suporte", "venda")), "rui")
    raise_alert(database, DRIFT, f"{now:%Y-%m-%d}", {"says": "confidence has shifted: p 0.0004"})
    runs.start(database, runs.Plan("v1.1.0", 1, shadow=True))
    dead.bury(database, Lane.LIVE, b"1763900000000-0", b"{", "not JSON")
    for _ in range(2):
        lease = Lease(inbox.redis, 600)
        lease.take()
        lease.say("working")
    inbox.put(Lane.LIVE, [b"x"] * 37)
    inbox.put(Lane.BULK, [b"x"] * 1204)


def main() -> None:
    """Make all pictures."""
    with TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder) / "stack", fsync=False)
        endpoints = stack.start()
        try:
            with Database(endpoints.database_url) as database, browser() as started:
                upgrade(database)
                inbox, registry = Inbox(connect(endpoints.redis_url)), Registry(Path(folder) / "models")
                inbox.make_groups()
                fill(database, inbox, registry)
                _, secret = create(database, "ana", [Scope.ADMIN])
                with served(Room(inbox, database, registry, GatewaySettings())) as address:
                    for look in LOOKS:
                        picture(started, address, secret, look)
        finally:
            stack.erase()


def picture(started: Any, address: str, secret: str, look: str) -> None:
    """All pages in one look."""
    scheme, size = LOOKS[look]
    context = started.new_context(
        viewport=dict(zip(("width", "height"), SIZES[size], strict=True)),
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="America/Sao_Paulo",
    )
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(f"{address}/console/{path}")
        page.screenshot(path=HERE / f"console-{name}-{look}.png")
        if name == "login":
            page.fill("#key", secret)
            page.press("#key", "Enter")
            page.wait_for_url("**/overview")
            page.wait_for_timeout(3500)  # until the pace is known
    context.close()


if __name__ == "__main__":
    main()
