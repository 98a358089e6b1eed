"""`/metrics` of a running system, and its logs: a worker, an ops worker and a gateway, started once for all tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.prometheus import prometheus
from tests.support.promql import expressions, panels, rules, selected_series
from tests.support.scraping import PROCESSES, MetricsPage, System, system
from tests.support.waiting import until
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.schema import TRUNCATE_ALL
from triagem.inbox import connect
from triagem.inbox.stream import stream_key
from triagem.ops.app import ops_app
from triagem.ops.settings import OpsSettings
from triagem.stack import LocalStack
from triagem.worker.metrics import GAUGES as GPU_GAUGES

MARK = "paralelepipedo"  # in every submitted text, source and ticket id
LIVE, BULK = 40, 10


@pytest.fixture(scope="module")
def running(
    stack: LocalStack, instant_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, Database, list[str]]]:
    """The system after 40 live tickets by one request, 10 of bulk by another, an unreadable entry and a task."""
    endpoints = stack.endpoints
    redis = connect(endpoints.redis_url)
    redis.flushall()
    with Database(endpoints.database_url) as database, database.autocommit() as connection:
        connection.execute(TRUNCATE_ALL)
        key = create_key(database, "test", [Scope.ENQUEUE])[1]
        with system(endpoints, instant_models, tmp_path_factory.mktemp("system")) as started:
            receipts = started.post(key, rows("live", LIVE), "request-of-forty")["receipts"]
            until(lambda: stored(database) == LIVE)  # no window holds tickets of both requests
            started.post(key, rows("bulk", BULK), "request-of-ten", "bulk")
            redis.xadd(stream_key(Lane.LIVE), {"t": MARK})
            with ops_app(endpoints.broker_url, OpsSettings()) as app:
                app.send_task("triagem.sweep", queue="ops")
            until(lambda: started.page("worker").value("triagem_dead_letters_total", cause="unreadable") == 1)
            until(lambda: stored(database) == LIVE + BULK)
            until(lambda: task_counted(started.page("ops")))
            until(lambda: started.page("ops").value("triagem_workers", state="at work") == 1)
            until(lambda: redis.xlen(stream_key(Lane.LIVE)) + redis.xlen(stream_key(Lane.BULK)) == 0)
            yield started, database, [receipt["entry_id"] for receipt in receipts]


@pytest.fixture(scope="module")
def pages(running: tuple[System, Database, list[str]]) -> dict[str, MetricsPage]:
    return {name: running[0].page(name) for name in PROCESSES}


def rows(prefix: str, number: int) -> list[dict[str, Any]]:
    return [
        {"source": MARK, "external_id": f"{MARK}-{prefix}-{index}", "text": f"{MARK} {'a ' * index}"}
        for index in range(number)
    ]


def stored(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM tickets")).scalar_one())


def task_counted(page: MetricsPage) -> bool:
    return page.value("triagem_tasks_total", task="triagem.sweep", state="success") == 1


def test_the_metrics_of_the_original_specification_count_classified_tickets(pages: dict[str, MetricsPage]) -> None:
    worker = pages["worker"]
    labels = [worker.value("predictions_total", class_=label) or 0 for label in ("suporte", "venda")]
    assert sum(labels) == LIVE + BULK
    assert min(labels) > 0
    assert worker.value("prediction_latency_seconds_count") == LIVE


def test_a_ticket_is_counted_by_band_and_lane_with_its_confidence_and_its_wait(pages: dict[str, MetricsPage]) -> None:
    worker = pages["worker"]
    assert sum_of(worker, "triagem_results_total", "live") == LIVE
    assert sum_of(worker, "triagem_results_total", "bulk") == BULK
    assert worker.value("triagem_confidence_count") == LIVE
    assert worker.value("triagem_confidence_bucket", le="0.8") == 0
    assert worker.value("triagem_confidence_bucket", le="0.9") == LIVE
    assert worker.value("triagem_queue_seconds_count", lane="live") == LIVE
    assert worker.value("triagem_queue_seconds_count", lane="bulk") == BULK


def sum_of(page: MetricsPage, name: str, lane: str) -> float:
    return sum(
        value for (metric, labels), value in page.samples.items() if metric == name and ("lane", lane) in labels
    )


def test_micro_batches_and_windows_are_measured(pages: dict[str, MetricsPage]) -> None:
    worker = pages["worker"]
    assert worker.value("triagem_batch_texts_sum") == LIVE + BULK
    assert worker.value("triagem_window_tickets_sum") == LIVE + BULK
    assert worker.value("triagem_batch_fill_sum") == pytest.approx((LIVE + BULK) / 32)
    assert (worker.value("triagem_batch_tokens_sum") or 0) >= LIVE + BULK
    for name in ("tokenize", "model", "commit"):
        assert (worker.value(f"triagem_{name}_seconds_count") or 0) > 0


def test_the_running_model_is_named(pages: dict[str, MetricsPage]) -> None:
    assert pages["worker"].value("triagem_model_info", version="v1.0.0", precision="unknown") == 1
    assert pages["worker"].value("triagem_model_epoch") == pages["ops"].value("triagem_current_epoch") == 1


def test_shared_state_is_exported_by_ops_alone(pages: dict[str, MetricsPage]) -> None:
    ops = pages["ops"]
    assert [ops.value("triagem_store_up", store=store) for store in ("redis", "postgres", "registry")] == [1, 1, 1]
    assert ops.value("triagem_inbox_entries", lane="live", state="waiting") == 0
    assert ops.value("triagem_inbox_oldest_seconds", lane="live") == 0
    assert ops.value("triagem_workers", state="at work") == 1
    assert ops.value("triagem_dead_letters_kept", lane="live") == 1
    assert not [name for name in pages["worker"].names | pages["gateway"].names if "inbox" in name]


def test_tasks_are_counted_though_another_process_runs_them(pages: dict[str, MetricsPage]) -> None:
    assert task_counted(pages["ops"])
    assert pages["ops"].value("triagem_task_seconds_count", task="triagem.sweep") == 1
    assert not [name for name in pages["ops"].names if name.startswith(("prediction", "triagem_model"))]


def test_requests_are_counted_by_route(pages: dict[str, MetricsPage]) -> None:
    gateway = pages["gateway"]
    route = {"route": "/v1/tickets"}
    assert gateway.value("triagem_http_requests_total", method="POST", status="202", **route) == 2
    assert gateway.value("triagem_http_request_seconds_count", **route) == 2
    assert gateway.value("triagem_http_tickets_total") == LIVE + BULK


QUERIES = {rule["alert"]: [rule["expr"]] for rule in rules()} | {
    panel["title"]: expressions(panel) for panel in panels()
}


@pytest.mark.parametrize("title", QUERIES)
def test_every_series_that_a_rule_or_panel_queries_is_exported(pages: dict[str, MetricsPage], title: str) -> None:
    for query in QUERIES[title]:
        for name, labels in selected_series(query):
            if name in {gauge.name for gauge in GPU_GAUGES}:
                continue  # a machine may have no GPU
            assert any(name in page.names for page in pages.values()), name
            series = [dict(pairs) for page in pages.values() for metric, pairs in page.samples if metric == name]
            # If a metric has series, one of them has these labels.
            assert not series or any(labels.items() <= pairs.items() for pairs in series), (name, labels)


# These panels have no data, because this test has no GPU, run, drift check or waiting alert.
EMPTY_PANELS = {"GPU memory", "GPU utilization", "Reclassification run", "Drift", "Waiting alerts"}


def test_prometheus_itself_answers_every_panel_and_runs_every_rule(
    running: tuple[System, Database, list[str]], tmp_path: Path
) -> None:
    targets = {f"triagem-{name}": port for name, port in running[0].ports.items()}
    with prometheus(targets, tmp_path) as server:
        until(lambda: len(server.query("rate(process_cpu_seconds_total[1m])")) == len(PROCESSES))
        answers = {panel["title"]: [server.query(query) for query in expressions(panel)] for panel in panels()}
        until(lambda: all(rule["health"] == "ok" for rule in server.rules()) and len(server.rules()) == len(rules()))
        firing = [rule["name"] for rule in server.rules() if rule["state"] == "firing"]

    assert {title for title, results in answers.items() if not all(results)} == EMPTY_PANELS
    assert firing == []


def test_no_label_holds_a_source_a_ticket_or_a_text(pages: dict[str, MetricsPage]) -> None:
    assert not [pair for page in pages.values() for pair in page.labels if MARK in pair[1]]


def test_a_request_can_be_followed_to_its_rows_in_the_logs(running: tuple[System, Database, list[str]]) -> None:
    started, database, receipts = running
    requests = [event for event in started.log("gateway") if event.get("request_id") == "request-of-forty"]
    windows = [event for event in started.log("worker") if "request-of-forty" in event.get("requests", ())]
    entries = [entry for window in windows for entry in window["entries"]]

    assert [(event["event"], event["rows"]) for event in requests] == [("request", LIVE)]
    # Each window names a few of its entries.
    assert set(entries) <= set(receipts)
    assert len(entries) + sum(window.get("more_entries", 0) for window in windows) == LIVE
    received = [datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC) for entry in entries]
    with database.autocommit() as connection:
        tickets = connection.execute(
            text("SELECT external_id FROM tickets WHERE received_at = ANY(:times)"), {"times": received}
        )
        assert {ticket.external_id for ticket in tickets} <= {row["external_id"] for row in rows("live", LIVE)}


def test_a_windows_log_line_has_the_time_of_each_stage(running: tuple[System, Database, list[str]]) -> None:
    windows = [event for event in running[0].log("worker") if event["event"] == "window"]
    assert sum(window["tickets"] for window in windows) == LIVE + BULK
    assert sum(window.get("live", 0) for window in windows) == LIVE
    assert len({window["window"] for window in windows}) == len(windows)
    for window in windows:
        assert window["model"] == "v1.0.0"
        assert min(window[f"{stage}_ms"] for stage in ("queue", "tokenize", "model", "commit")) >= 0
    assert not [window for window in windows if MARK in str(window)]
