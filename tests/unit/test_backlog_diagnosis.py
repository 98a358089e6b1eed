"""The one line that tells an operator what is the matter."""

import pytest

from triagem.cli.commands.backlog import diagnose
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, InboxSettings

NOTHING = Depth(waiting=0, in_flight=0, oldest_s=None)
SOME = Depth(waiting=7, in_flight=3, oldest_s=1.0)
AT_WORK = {"a": "at work", "b": "at work"}


def said(
    live: Depth = SOME,
    states: dict[str, str] = AT_WORK,
    *,
    paused: bool = False,
    quarantined: int = 0,
    memory_used: float = 0.1,
) -> str:
    depths = {Lane.LIVE: live, Lane.BULK: NOTHING}
    settings = InboxSettings(live_high_water=100, memory_share=0.8)
    return diagnose(depths, states, settings, paused=paused, quarantined=quarantined, memory_used=memory_used)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (said(), "draining"),
        (said(NOTHING), "no tickets in the inbox"),
        (said(NOTHING, {}), "no tickets in the inbox"),
        (said(states={}), "no worker is running: start one with `triagem worker`"),
        (said(paused=True), "triagem resume"),
        (
            said(states={"a": "at work", "b": "waiting: Postgres is busy (57P03)"}),
            "waiting: Postgres is busy (57P03)",
        ),
        (said(Depth(waiting=90, in_flight=10, oldest_s=1.0)), "the live lane is full"),
        (said(memory_used=0.81), "Redis uses 81% of its memory"),
        (said(quarantined=2), "a worker crashed: 2 entries are quarantined"),
    ],
)
def test_the_line_names_what_matters_most(line: str, words: str) -> None:
    assert words in line


def test_a_pause_is_named_before_all_that_follows_from_it() -> None:
    assert said(states={}, paused=True).startswith("paused")
