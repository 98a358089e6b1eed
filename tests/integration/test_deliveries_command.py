"""`triagem deliveries`: lists, replays and drops deliveries."""

import json

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.delivery import delivery_states
from tests.support.windows import result
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.outbox.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.reviews import record_review
from triagem.db.tickets.window import write_window


@pytest.fixture(autouse=True)
def deliveries(database: Database) -> None:
    """Two failed deliveries, and one that waits."""
    sync_result_targets(database, {"shop.callback": "shop", "zendesk.tags": "zendesk"})
    write_window(database, [result(source="shop", external_id="1"), result(source="zendesk", external_id="2")])
    for target in ("shop.callback", "zendesk.tags"):
        leased = lease_result(database, target)
        assert leased
        mark_delivery(database, leased, DeliveryState.FAILED, reason="answered 410")
    write_window(database, [result(source="shop", external_id="3")])


def test_a_failed_delivery_is_listed_with_its_reason(triagem: Triagem) -> None:
    shown = triagem("deliveries", "list", "--state", "failed")
    assert shown.status == 0
    assert "answered 410" in shown.out

    listed = json.loads(triagem("deliveries", "list", "--target", "shop.callback", "--format", "json").out)
    assert [(delivery["about"], delivery["state"], delivery["last_error"]) for delivery in listed] == [
        ("shop 3", "waiting", None), ("shop 1", "failed", "answered 410"),
    ]  # fmt: skip


def test_failed_deliveries_are_replayed_by_target_from_the_first_attempt_on(
    triagem: Triagem, database: Database
) -> None:
    answer = triagem("deliveries", "replay", "--all", "--target", "shop.callback", "--json")
    assert json.loads(answer.out) == {"replayed": 1}
    assert set(delivery_states(database)) == {("shop.callback", "waiting", 0), ("zendesk.tags", "failed", 1)}
    assert lease_result(database, "shop.callback")


def test_only_failed_deliveries_are_dropped(triagem: Triagem, database: Database) -> None:
    listed = json.loads(triagem("deliveries", "list", "--format", "json").out)
    answer = triagem("deliveries", "drop", *(str(delivery["id"]) for delivery in listed), "--yes")
    assert "2 dropped" in answer.out
    assert "1 skipped: not found, not failed" in answer.out
    assert sorted(delivery_states(database)) == [
        ("shop.callback", "dropped", 1), ("shop.callback", "waiting", 0), ("zendesk.tags", "dropped", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("command", [("replay",), ("drop",), ("drop", "--yes")])
def test_an_unknown_delivery_is_an_error_before_the_question(triagem: Triagem, command: tuple[str, ...]) -> None:
    assert_one_line(triagem("deliveries", command[0], "999", *command[1:]), "there is no delivery 999")


def test_a_review_after_the_drop_is_sent(triagem: Triagem, database: Database) -> None:
    triagem("deliveries", "drop", "--all", "--target", "zendesk.tags", "--yes")
    assert lease_result(database, "zendesk.tags") is None
    record_review(database, Identity("zendesk", "2"), "suporte", "ana")
    assert (leased := lease_result(database, "zendesk.tags"))
    assert (leased.label, leased.attempts) == ("suporte", 1)


@pytest.mark.parametrize(
    "arguments", [("replay",), ("replay", "1", "--all"), ("drop", "1", "--target", "x"), ("list", "--state", "lost")]
)
def test_contradictory_arguments_are_a_usage_error(triagem: Triagem, arguments: tuple[str, ...]) -> None:
    assert triagem("deliveries", *arguments).status == 2
