"""A forgotten ticket is removed from the inbox and from Redis' append-only file."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.support.dead_letters import payload_of
from tests.support.forgetting import FORGOTTEN
from tests.support.waiting import until
from triagem.contracts.ticket import Identity, Lane
from triagem.inbox import Inbox
from triagem.inbox.erase import erase, rewrite_log


class TestInbox:
    def test_all_pages_of_both_lanes_are_searched(self, inbox: Inbox) -> None:
        for lane in Lane:
            inbox.put(lane, [payload_of(str(number)) for number in range(1100)] + [payload_of("last")])
        pages: list[int] = []

        assert erase(inbox, Identity("crm", "last"), pages.append)[0] == 2

        assert pages == [500, 500, 101] * 2

    def test_without_streams_nothing_is_found(self, redis: Redis) -> None:
        assert erase(Inbox(redis), FORGOTTEN)[0] == 0

    def test_redis_log_is_rewritten_without_deleted_entries(self, inbox: Inbox, log: Path) -> None:
        inbox.put(Lane.LIVE, [payload_of("4711", "unheard-of")])
        assert "unheard-of" in log_content(log)

        erase(inbox, FORGOTTEN)
        assert rewrite_log(inbox.redis) == "started"

        until(lambda: "unheard-of" not in log_content(log))

    def test_a_rewrite_that_began_before_is_waited_for(self, inbox: Inbox) -> None:
        redis = RefusingRedis(
            inbox, *[ResponseError("Background append only file rewriting already in progress")] * 2
        )

        assert rewrite_log(redis, timeout_s=0) == "busy"
        assert rewrite_log(redis) == "started"

    def test_a_server_that_allows_no_rewrite_is_not_an_error(self, inbox: Inbox) -> None:
        redis = RefusingRedis(
            inbox, ResponseError("unknown command 'BGREWRITEAOF'"), NoPermissionError("no permissions")
        )

        assert [rewrite_log(redis), rewrite_log(redis)] == ["refused"] * 2

    def test_a_server_without_a_log_does_not_write_one(self, inbox: Inbox) -> None:
        redis = RefusingRedis(inbox, AssertionError("wrote one"), aof_enabled=0)

        assert rewrite_log(redis) == "off"

    @pytest.fixture
    def log(self, inbox: Inbox) -> Path:
        """The folder of the append-only file."""
        until(lambda: not inbox.redis.info("persistence")["aof_rewrite_in_progress"])
        return Path(inbox.redis.config_get("dir")["dir"] or "") / "appendonlydir"


class RefusingRedis(Redis):
    """A Redis that refuses the first rewrites with these errors."""

    def __init__(self, inbox: Inbox, *refusals: Exception, aof_enabled: int = 1) -> None:
        super().__init__(connection_pool=inbox.redis.connection_pool)
        self._refusals = list(refusals)
        self._aof_enabled = aof_enabled

    def info(self, section: Any = None, *args: Any, **kwargs: Any) -> Any:
        return {"aof_enabled": self._aof_enabled}

    def bgrewriteaof(self, **kwargs: Any) -> Any:
        if self._refusals:
            raise self._refusals.pop(0)
        return True


def log_content(log: Path) -> str:
    """The content of the append-only file."""
    return "".join(file.read_bytes().decode(errors="replace") for file in log.iterdir() if file.exists())
