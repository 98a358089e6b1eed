"""`triagem deliveries`: what an on-call person sees of what goes back, and does about it."""

import json

import pytest

from tests.support.back import states
from tests.support.command import Triagem
from tests.support.windows import result
from triagem.db import Database
from triagem.db.deliveries import State, keep_targets, lease, settle
from triagem.db.window import write


@pytest.fixture(autouse=True)
def given_up(database: Database) -> None:
    """Two that were given up, and one that waits."""
    keep_targets(database, {"shop.callback": "shop", "zendesk.tags": "zendesk"})
    write(database, [result(source="shop", external_id="1"), result(source="zendesk", external_id="2")])
    for target in ("shop.callback", "zendesk.tags"):
        leased = lease(database, target)
        assert leased
        settle(database, leased, State.GAVE_UP, reason="answered 410")
    write(database, [result(source="shop", external_id="3")])


def test_what_was_given_up_is_listed_with_its_reason(triagem: Triagem) -> None:
    shown = triagem("deliveries", "list", "--state", "gave-up")
    assert shown.status == 0
    assert "answered 410" in shown.out

    found = json.loads(triagem("deliveries", "list", "--target", "shop.callback", "--format", "json").out)
    assert [(one["about"], one["state"], one["why"]) for one in found] == [
        ("shop 3", "waiting", None), ("shop 1", "gave-up", "answered 410"),
    ]  # fmt: skip


def test_it_is_replayed_by_target_from_the_first_attempt_on(triagem: Triagem, database: Database) -> None:
    answer = triagem("deliveries", "replay", "--all", "--target", "shop.callback", "--json")
    assert json.loads(answer.out) == {"replayed": 1}
    assert set(states(database)) == {("shop.callback", "waiting", 0), ("zendesk.tags", "gave-up", 1)}
    assert lease(database, "shop.callback")


def test_only_what_was_given_up_is_dropped(triagem: Triagem, database: Database) -> None:
    found = json.loads(triagem("deliveries", "list", "--format", "json").out)
    answer = triagem("deliveries", "drop", *(str(one["id"]) for one in found), "--yes")
    assert "2 dropped" in answer.out
    assert "1 were not given up" in answer.out
    assert states(database) == [("shop.callback", "waiting", 0)]


@pytest.mark.parametrize(
    "arguments", [("replay",), ("replay", "1", "--all"), ("drop", "1", "--target", "x"), ("list", "--state", "lost")]
)
def test_a_question_that_makes_no_sense_is_a_usage_error(triagem: Triagem, arguments: tuple[str, ...]) -> None:
    assert triagem("deliveries", *arguments).status == 2
