"""What `triagem ops` tells Prometheus of the stores: what stands in them, and nothing of one that is away."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.pipeline import publish
from tests.support.scraping import MetricsPage, parse_metrics
from tests.support.version_history import drift_report
from tests.support.windows import doubtful
from triagem.cli.stack import Endpoints
from triagem.cli.stack.ports import choose_port
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.alerts import DRIFT, raise_alert
from triagem.db.deliveries import sync_result_targets
from triagem.db.runs import RunPlan, cancel, pause, start
from triagem.db.window import write_window
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import Lease
from triagem.registry import Registry
from triagem.worker.store_metrics import GAUGES, INBOX, REGISTRY, TABLES, StoreCollector


@pytest.fixture
def stores(inbox: Inbox, endpoints: Endpoints, database: Database, instant_models: Path) -> StoreCollector:
    return StoreCollector(inbox, lambda: Database(endpoints.database_url), Registry(instant_models))


def page(stores: StoreCollector) -> MetricsPage:
    registry = CollectorRegistry()
    registry.register(stores)
    return parse_metrics(generate_latest(registry).decode())


def names(figures: tuple[object, ...]) -> set[str]:
    return {one.name for one in GAUGES if one in figures}


def test_what_waits_is_told_by_lane(stores: StoreCollector, inbox: Inbox) -> None:
    publish(inbox, 5)
    inbox.fetch(Lane.LIVE, "somebody", 2)

    told = page(stores)
    assert told.value("triagem_inbox_entries", lane="live", state="waiting") == 3
    assert told.value("triagem_inbox_entries", lane="live", state="in-flight") == 2
    assert told.value("triagem_inbox_entries", lane="bulk", state="waiting") == 0
    assert (told.value("triagem_inbox_oldest_seconds", lane="live") or 0) > 0


def test_workers_are_told_by_what_they_do(stores: StoreCollector, inbox: Inbox) -> None:
    for state in ("at work", "at work", "waiting: Postgres does not answer"):
        lease = Lease(inbox.redis, 10.0)
        lease.acquire()
        lease.report_state(state)

    told = page(stores)
    assert [told.value("triagem_workers", state=one) for one in ("at work", "warming up", "waiting")] == [2, 0, 1]


def test_alerts_and_deliveries_are_told_by_state(stores: StoreCollector, database: Database) -> None:
    sync_result_targets(database, {"shop": "zendesk"})
    write_window(database, [doubtful()])
    raise_alert(database, DRIFT, "v1.0.0", {})

    told = page(stores)
    assert told.value("triagem_alerts_waiting", kind="low-confidence") == 1
    assert told.value("triagem_alerts_waiting", kind="drift") == 1
    assert told.value("triagem_deliveries", kind="result", state="waiting") == 1
    assert told.value("triagem_deliveries", kind="result", state="failed") == 0


def test_a_run_is_told_while_it_is_active(stores: StoreCollector, database: Database) -> None:
    assert page(stores).value("triagem_run_paused") is None
    run = start(database, RunPlan(version="v1.0.0", epoch=1))
    assert page(stores).value("triagem_run_paused") == 0
    pause(database, run.id)
    assert page(stores).value("triagem_run_paused") == 1
    assert page(stores).value("triagem_run_tickets", outcome="done") == 0
    cancel(database, run.id)
    assert page(stores).value("triagem_run_paused") is None


def test_drift_is_told_once_it_was_looked_for(stores: StoreCollector, database: Database) -> None:
    assert page(stores).value("triagem_drift_detected") is None
    drift_report(database, drifted=True)
    told = page(stores)
    assert told.value("triagem_drift_detected") == 1
    assert told.value("triagem_drift_checked_timestamp_seconds") == pytest.approx(
        datetime.now(UTC).timestamp(), abs=60
    )


def test_while_redis_is_away_its_figures_are_absent_and_the_others_stay(
    endpoints: Endpoints, database: Database, instant_models: Path
) -> None:
    away = Inbox(connect(f"redis://127.0.0.1:{choose_port()}/0"), InboxSettings())
    told = page(StoreCollector(away, lambda: Database(endpoints.database_url), Registry(instant_models)))
    assert told.value("triagem_store_up", store="redis") == 0
    assert not told.names & names(INBOX)
    assert told.value("triagem_store_up", store="postgres") == 1
    assert told.names >= names(TABLES) | names(REGISTRY)


def test_while_postgres_is_away_its_figures_are_absent_and_the_others_stay(
    inbox: Inbox, instant_models: Path
) -> None:
    gone = f"postgresql://nobody@127.0.0.1:{choose_port()}/none"
    told = page(StoreCollector(inbox, lambda: Database(gone), Registry(instant_models)))
    assert told.value("triagem_store_up", store="postgres") == 0
    assert not told.names & names(TABLES)
    assert told.names >= names(INBOX)


def test_without_a_current_model_there_is_no_epoch(inbox: Inbox, endpoints: Endpoints, tmp_path: Path) -> None:
    told = page(StoreCollector(inbox, lambda: Database(endpoints.database_url), Registry(tmp_path)))
    assert told.value("triagem_store_up", store="registry") == 0
    assert not told.names & names(REGISTRY)
