"""Metrics of Redis, Postgres and the registry that `triagem ops` serves, without those of unavailable stores."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.pipeline import publish
from tests.support.scraping import MetricsPage, parse_metrics
from tests.support.version_history import drift_report
from tests.support.windows import doubtful
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.outbox.alerts import DRIFT, raise_alert
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.reviews import AccuracyEstimate
from triagem.db.reviews.expected import ExpectedAccuracy, store_accuracy_report
from triagem.db.runs import RunPlan, cancel, pause, start
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import Lease
from triagem.ops.metrics import GAUGES, INBOX, REGISTRY, TABLES, StoreCollector
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.stack.state import choose_port


@pytest.fixture
def collector(inbox: Inbox, endpoints: Endpoints, database: Database, instant_models: Path) -> StoreCollector:
    return StoreCollector(inbox, lambda: Database(endpoints.database_url), Registry(instant_models))


def scrape(collector: StoreCollector) -> MetricsPage:
    registry = CollectorRegistry()
    registry.register(collector)
    return parse_metrics(generate_latest(registry).decode())


def gauge_names(gauges: tuple[object, ...]) -> set[str]:
    return {gauge.name for gauge in GAUGES if gauge in gauges}


def test_inbox_entries_are_reported_by_lane(collector: StoreCollector, inbox: Inbox) -> None:
    publish(inbox, 5)
    inbox.fetch(Lane.LIVE, "somebody", 2)

    metrics = scrape(collector)
    assert metrics.value("triagem_inbox_entries", lane="live", state="waiting") == 3
    assert metrics.value("triagem_inbox_entries", lane="live", state="in-flight") == 2
    assert metrics.value("triagem_inbox_entries", lane="bulk", state="waiting") == 0
    assert (metrics.value("triagem_inbox_oldest_seconds", lane="live") or 0) > 0


def test_workers_are_reported_by_state(collector: StoreCollector, inbox: Inbox) -> None:
    for state in ("at work", "at work", "waiting: Postgres does not answer"):
        lease = Lease(inbox.redis, 10.0)
        lease.acquire()
        lease.report_state(state)

    metrics = scrape(collector)
    states = ("at work", "warming up", "waiting")
    assert [metrics.value("triagem_workers", state=state) for state in states] == [2, 0, 1]


def test_alerts_and_deliveries_are_reported_by_state(collector: StoreCollector, database: Database) -> None:
    sync_result_targets(database, {"shop": "zendesk"})
    write_window(database, [doubtful()])
    raise_alert(database, DRIFT, "v1.0.0", {})

    metrics = scrape(collector)
    assert metrics.value("triagem_alerts_waiting", kind="low-confidence") == 1
    assert metrics.value("triagem_alerts_waiting", kind="drift") == 1
    assert metrics.value("triagem_deliveries", kind="result", state="waiting") == 1
    assert metrics.value("triagem_deliveries", kind="result", state="failed") == 0


def test_a_run_is_reported_while_it_is_active(collector: StoreCollector, database: Database) -> None:
    assert scrape(collector).value("triagem_run_paused") is None
    run = start(database, RunPlan(version="v1.0.0", epoch=1))
    assert scrape(collector).value("triagem_run_paused") == 0
    pause(database, run.id)
    assert scrape(collector).value("triagem_run_paused") == 1
    assert scrape(collector).value("triagem_run_tickets", outcome="done") == 0
    cancel(database, run.id)
    assert scrape(collector).value("triagem_run_paused") is None


def test_drift_is_reported_after_the_first_check(collector: StoreCollector, database: Database) -> None:
    assert scrape(collector).value("triagem_drift_detected") is None
    drift_report(database, drifted=True)
    metrics = scrape(collector)
    assert metrics.value("triagem_drift_detected") == 1
    assert metrics.value("triagem_drift_checked_timestamp_seconds") == pytest.approx(
        datetime.now(UTC).timestamp(), abs=60
    )


def test_the_expected_accuracy_is_reported_with_the_reviews_estimate_if_any(
    collector: StoreCollector, database: Database
) -> None:
    assert scrape(collector).value("triagem_accuracy_diverged", version="v1.0.0") is None
    now = datetime.now(UTC)
    store_accuracy_report(database, "v1.0.0", ExpectedAccuracy(9, 0.9, None), now - timedelta(days=1))
    metrics = scrape(collector)
    assert metrics.value("triagem_accuracy_ratio", version="v1.0.0", estimate="expected") == 0.9
    assert metrics.value("triagem_accuracy_ratio", version="v1.0.0", estimate="reviews") is None
    assert metrics.value("triagem_accuracy_diverged", version="v1.0.0") == 0

    reviewed = AccuracyEstimate(0.7, 0.6, 0.8, 900, 100, 100, 0, 0, (), 0.95)
    store_accuracy_report(database, "v1.1.0", ExpectedAccuracy(9, 0.95, reviewed), now)
    metrics = scrape(collector)
    estimates = ("expected", "reviews", "reviews_low", "reviews_high")
    values = [metrics.value("triagem_accuracy_ratio", version="v1.1.0", estimate=name) for name in estimates]
    assert values == [0.95, 0.7, 0.6, 0.8]
    assert metrics.value("triagem_accuracy_diverged", version="v1.1.0") == 1
    assert metrics.value("triagem_accuracy_diverged", version="v1.0.0") is None


def test_while_redis_is_unavailable_its_metrics_are_absent_and_the_others_stay(
    endpoints: Endpoints, database: Database, instant_models: Path
) -> None:
    unavailable = Inbox(connect(f"redis://127.0.0.1:{choose_port()}/0"), InboxSettings())
    metrics = scrape(StoreCollector(unavailable, lambda: Database(endpoints.database_url), Registry(instant_models)))
    assert metrics.value("triagem_store_up", store="redis") == 0
    assert not metrics.names & gauge_names(INBOX)
    assert metrics.value("triagem_store_up", store="postgres") == 1
    assert metrics.names >= gauge_names(TABLES) | gauge_names(REGISTRY)


def test_while_postgres_is_unavailable_its_metrics_are_absent_and_the_others_stay(
    inbox: Inbox, instant_models: Path
) -> None:
    unavailable_url = f"postgresql://nobody@127.0.0.1:{choose_port()}/none"
    metrics = scrape(StoreCollector(inbox, lambda: Database(unavailable_url), Registry(instant_models)))
    assert metrics.value("triagem_store_up", store="postgres") == 0
    assert not metrics.names & gauge_names(TABLES)
    assert metrics.names >= gauge_names(INBOX)


def test_without_a_current_model_there_is_no_epoch(inbox: Inbox, endpoints: Endpoints, tmp_path: Path) -> None:
    metrics = scrape(StoreCollector(inbox, lambda: Database(endpoints.database_url), Registry(tmp_path)))
    assert metrics.value("triagem_store_up", store="registry") == 0
    assert not metrics.names & gauge_names(REGISTRY)
