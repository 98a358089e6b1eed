"""The alerts table stores system alerts and ticket alerts, once each."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.command import Triagem
from tests.support.windows import doubtful, rows
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.outbox.alerts import (
    DRIFT,
    RETRAINING_DUE,
    EndedOutage,
    create_digests,
    newest_alerts,
    raise_alert,
    record_outage,
)
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.window import WindowCounts, write_window


def test_the_same_alert_is_raised_once(database: Database) -> None:
    assert raise_alert(database, DRIFT, "v1.0.0 2026-11", {"summary": "shifted"})
    assert not raise_alert(database, DRIFT, "v1.0.0 2026-11", {"summary": "shifted further"})
    assert raise_alert(database, DRIFT, "v1.0.0 2026-12", {"summary": "still shifted"})
    assert raise_alert(database, RETRAINING_DUE, "v1.0.0 2026-11", {"summary": "old"})
    assert [row["detail"]["summary"] for row in rows(database, "alerts")] == ["shifted", "still shifted", "old"]


def test_of_many_concurrent_callers_one_raises_the_alert(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        raised = list(pool.map(lambda _: raise_alert(database, DRIFT, "v1.0.0", {}), range(8)))
    assert sorted(raised) == [False] * 7 + [True]


def test_undelivered_alerts_of_all_kinds_are_listed_newest_first(database: Database) -> None:
    write_window(database, [doubtful(external_id="4711")])
    raise_alert(database, DRIFT, "v1.0.0 2026-11", {"summary": "shifted"})
    alerts = newest_alerts(database, undelivered=True, limit=9)
    assert [(alert.kind, alert.about, alert.band) for alert in alerts] == [
        ("drift", "v1.0.0 2026-11", None),
        ("low-confidence", "zendesk 4711", "review"),
    ]
    assert [alert.kind for alert in newest_alerts(database, undelivered=True, kind="low-confidence", limit=9)] == [
        "low-confidence"
    ]
    assert len(newest_alerts(database, undelivered=True, limit=1)) == 1


def test_a_delivered_alert_is_no_longer_listed(database: Database) -> None:
    raise_alert(database, DRIFT, "v1.0.0", {})
    with database.autocommit() as connection:
        connection.execute(text("UPDATE alerts SET delivered_at = now()"))
    assert newest_alerts(database, undelivered=True, limit=9) == []


def test_forgetting_a_ticket_leaves_the_system_s_alerts(database: Database) -> None:
    write_window(database, [doubtful()])
    raise_alert(database, DRIFT, "v1.0.0", {})
    identity = Identity("zendesk", "4711")
    write_tombstone(database, identity)
    assert delete_related(database, identity)[0]["alerts"] == 1
    assert [row["kind"] for row in rows(database, "alerts")] == ["drift"]


def test_the_command_lists_them_for_people_and_for_programs(triagem: Triagem, database: Database) -> None:
    write_window(database, [doubtful(external_id="4711")])
    raise_alert(database, RETRAINING_DUE, "v1.0.0 age 2026-11", {"summary": "it was trained 100 days ago"})

    answer = triagem("alerts", "list")
    assert answer.status == 0
    assert "it was trained 100 days ago" in answer.out
    assert "zendesk 4711" in answer.out

    (alert,) = json.loads(triagem("alerts", "list", "--kind", "retraining-due", "--format", "json").out)
    assert alert["detail"] == {"summary": "it was trained 100 days ago"}


class TestAlertsOfImportedTexts:
    """A customer waits for a live ticket, also if an import has brought its text and its result before."""

    @pytest.mark.parametrize("minutes", [(0, 0), (0, 1), (1, 0)])
    def test_a_doubtful_text_that_was_imported_raises_an_alert_when_it_comes_live(
        self, database: Database, minutes: tuple[int, int]
    ) -> None:
        imported, live = (
            doubtful(minute=minute, lane=lane) for minute, lane in zip(minutes, (Lane.BULK, Lane.LIVE), strict=True)
        )
        assert write_window(database, [imported]).alerts == 0

        assert write_window(database, [live]) == WindowCounts(predictions=0, alerts=1)

        assert write_window(database, [replace(live, arrival=9)]).alerts == 0

    def test_a_live_text_that_comes_again_raises_no_second_alert(self, database: Database) -> None:
        write_window(database, [doubtful()])
        with database.autocommit() as connection:
            connection.execute(text("DELETE FROM alerts"))  # as after its retention

        assert write_window(database, [doubtful(minute=5, arrival=5)]).alerts == 0


@pytest.mark.parametrize("is_sent", [True, False])
def test_an_ended_outage_is_listed_once_and_not_sent_again(database: Database, is_sent: bool) -> None:
    detail = {"state": "resolved", "summary": "resolved (lasted 3 min): Redis does not answer"}
    for _ in range(2):
        record_outage(database, EndedOutage("redis", NOW, detail, is_sent=is_sent))
    subscription = {"target": "team", "every_s": 0, "kinds": ["redis"]}
    create_digests(database, [subscription])

    assert [alert.summary for alert in newest_alerts(database, limit=9)] == [detail["summary"]]
    assert len(newest_alerts(database, limit=9, undelivered=True)) == (not is_sent)
    assert database.scalar_one("SELECT count(*) FROM deliveries") == 0
