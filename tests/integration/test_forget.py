"""What a customer wants forgotten is nowhere afterwards, whatever a worker had in hand."""

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError
from sqlalchemy import text

from cli.forget import Forgotten, forget
from cli.stack import Endpoints
from contracts.ticket import Identity, Lane
from db import Database, dead
from db.dead import bury
from db.forget import entomb, find
from db.window import write
from inbox import Inbox
from inbox.erase import LogRewrite, erase, rewrite_log
from inbox.stream import entries_of, stream_key
from tests.support.command import Triagem, assert_one_line
from tests.support.letters import buried, entry_of
from tests.support.pipeline import running
from tests.support.waiting import until
from tests.support.windows import NOTHING, doubtful, judge, rows

WHOSE = Identity("crm", "4711")
WORDS = "my card number is 4111"


def ours(words: str = WORDS, **changes: Any) -> Any:
    """A doubtful result of the ticket that is to be forgotten."""
    return doubtful(words, source="crm", **{"external_id": "4711", "metadata": {"phone": WORDS}, **changes})


def said(database: Database) -> str:
    """Whatever stands in all tables."""
    return str({table: rows(database, table) for table in ("tickets", "predictions", "alerts", "reviews")}) + str(
        [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
    )


def waiting(inbox: Inbox) -> list[bytes]:
    """All payloads in both lanes."""
    streams = [entries_of(lane, inbox.redis.xrange(stream_key(lane)) or ()) for lane in Lane]
    return [entry.payload or b"" for stream in streams for entry in stream]


class TestEverywhere:
    @pytest.fixture
    def answer(self, triagem: Triagem, database: Database, inbox: Inbox) -> Any:
        write(database, [ours()])
        judge(database, WORDS, "suporte")
        write(database, [doubtful(source="crm", external_id="neighbour")])
        buried(database, entry_of("4711"), entry_of("neighbour"), entry_of("4711", source="other"), b"\xffno ticket")
        inbox.put(Lane.LIVE, [entry_of("4711"), entry_of("neighbour"), b"\xffno ticket"])
        inbox.put(Lane.BULK, [entry_of("4711"), entry_of("4711")])
        inbox.take(Lane.BULK, "somebody", 1)
        answer = triagem("db", "forget", "crm", " 4711", "--yes", "--json")
        assert answer.status == 0, answer
        return json.loads(answer.out)

    def test_each_place_is_counted(self, answer: Any) -> None:
        assert answer == {
            "source": "crm",
            "external_id": "4711",
            "forgotten": {
                "tombstone": True,
                "rows": {"alerts": 1, "predictions": 1, "reviews": 1},
                "dead_letters": 1,
                "unreadable_letters": 1,
                "inbox_entries": 3,
                "unreadable_entries": 1,
                "inbox_left": 2,
                "log_rewrite": "started",
            },
        }

    def test_only_the_tombstone_is_left_of_it(self, answer: Any, database: Database, inbox: Inbox) -> None:
        (tombstone, neighbour) = sorted(rows(database, "tickets"), key=lambda row: str(row["external_id"]))
        assert tombstone.pop("forgotten_at") is not None
        values = {name: value for name, value in tombstone.items() if name not in {"id", "source", "external_id"}}
        assert {str(value) for value in values.values()} == {
            "None", "b''", "{}", "", "0", "1.0", "False", "1970-01-01 00:00:00+00:00",
        }  # fmt: skip
        assert neighbour["text"] == "A"
        for table in ("predictions", "alerts", "reviews"):
            assert {row["ticket_id"] for row in rows(database, table)} <= {neighbour["id"]}
        letters = [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
        assert letters == [entry_of("neighbour"), entry_of("4711", source="other"), b"\xffno ticket"]
        assert waiting(inbox) == [entry_of("neighbour"), b"\xffno ticket"]
        assert inbox.in_flight(Lane.BULK) == 0

    def test_no_view_shows_it(self, answer: Any, database: Database) -> None:
        for view in ("results", "history"):
            assert [row["external_id"] for row in rows(database, view)] == ["neighbour"]
        assert [row["tickets"] for row in rows(database, "daily")] == [1]

    def test_again_finds_nothing_more_and_changes_nothing(
        self, answer: Any, triagem: Triagem, database: Database, inbox: Inbox
    ) -> None:
        before = said(database), waiting(inbox)

        again = triagem("db", "forget", "crm", "4711", "--yes")

        assert again.status == 0
        assert "was forgotten before" in again.out
        assert "inbox: 0 (1 more do not say whose they are" in again.out
        assert (said(database), waiting(inbox)) == before

    def test_it_cannot_be_shown_any_more(self, answer: Any, triagem: Triagem) -> None:
        assert_one_line(triagem("show", "crm", "4711"), "no ticket")


class TestComingBack:
    """What a worker has in hand, or a CRM hands in again, is not stored."""

    @pytest.fixture
    def forgotten(self, database: Database, inbox: Inbox) -> Forgotten:
        return forget(database, inbox, WHOSE)

    @pytest.mark.parametrize("stored_before", [True, False], ids=["stored before", "never stored"])
    def test_a_window_that_is_written_after_the_tombstone_writes_nothing(
        self, database: Database, inbox: Inbox, stored_before: bool
    ) -> None:
        if stored_before:
            write(database, [ours()])
        forget(database, inbox, WHOSE)
        before = said(database)

        assert write(database, [ours(), ours("newer", minute=9), ours(epoch=9, model="v1.1.0")]) == NOTHING

        assert said(database) == before
        assert WORDS not in before

    def test_a_window_that_is_being_written_leaves_nothing(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        """The window has the ticket's lock and will commit; forget waits for it, and then deletes what it wrote."""
        write(database, [ours()])
        with psycopg.connect(endpoints.database_url) as window:
            window.execute("UPDATE tickets SET text = 'newer'")
            window.execute(
                "INSERT INTO predictions SELECT ticket_id, 'newer', label, confidence, probabilities, band,"
                " model_version, tokens, truncated, classified_at FROM predictions"
            )
            done: list[Forgotten] = []
            other = threading.Thread(target=lambda: done.append(forget(database, inbox, WHOSE)))
            other.start()
            until(lambda: blocked(window) == 1)
            window.commit()
            other.join()

        assert done[0].rows["predictions"] == 2
        assert "newer" not in said(database)

    def test_a_worker_that_holds_the_entry_while_it_is_forgotten_stores_nothing(
        self, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        inbox.put(Lane.LIVE, [entry_of("4711"), entry_of("neighbour")])
        with psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("LOCK TABLE tickets IN SHARE MODE")  # reading goes on, writing waits
            with running(endpoints, instant_models) as (pipeline, failed):
                until(lambda: blocked(blocker) == 1)  # the worker has classified, and holds both
                forgetting = threading.Thread(target=lambda: forget(database, inbox, WHOSE))
                forgetting.start()
                until(lambda: blocked(blocker) == 2)
                blocker.commit()
                forgetting.join()
                until(lambda: waiting(inbox) == [] and pipeline.taker.in_hand == 0)
                assert not failed.is_set()

        assert [row["text"] for row in rows(database, "tickets") if row["external_id"] == "4711"] == [None]
        assert [row["external_id"] for row in rows(database, "results")] == ["neighbour"]
        assert [row["external_id"] for row in rows(database, "history")] == ["neighbour"]

    def test_a_redelivery_leaves_the_inbox_and_nothing_else(
        self, forgotten: Forgotten, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        before = said(database)
        inbox.put(Lane.LIVE, [entry_of("4711", "once more")])

        with running(endpoints, instant_models) as (_, failed):
            until(lambda: failed.is_set() or waiting(inbox) == [])

        assert not failed.is_set()
        assert said(database) == before

    @pytest.mark.parametrize("payload", [entry_of("4711"), entry_of("4711")[:-9]], ids=["a ticket", "cut short"])
    def test_what_dies_in_a_worker_s_hands_becomes_no_letter(
        self, forgotten: Forgotten, database: Database, payload: bytes
    ) -> None:
        bury(database, Lane.LIVE, b"1-0", payload, "the model raised")
        bury(database, Lane.LIVE, b"2-0", b"nobody's", "no JSON")

        assert [bytes(letter["payload"]) for letter in rows(database, "dead_letters")] == [b"nobody's"]

    def test_not_even_if_the_worker_dies_before_it_has_looked_again(
        self, forgotten: Forgotten, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead, "_WITHDRAW", text("SELECT 1"))

        bury(database, Lane.LIVE, b"1-0", entry_of("4711"), "the model raised")

        assert rows(database, "dead_letters") == []

    def test_not_even_if_the_burial_began_before_the_tombstone_and_ended_after_the_search(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        with psycopg.connect(endpoints.database_url) as twin:
            twin.execute("INSERT INTO dead_letters (lane, entry_id, payload, reason) VALUES ('live', '1-0', '', '')")
            burial = threading.Thread(target=bury, args=(database, Lane.LIVE, b"1-0", entry_of("4711"), "it raised"))
            burial.start()
            until(lambda: blocked(twin) == 1)
            forget(database, inbox, WHOSE)
            twin.rollback()
            burial.join()

        assert rows(database, "dead_letters") == []


def blocked(by: psycopg.Connection) -> int:
    """How many sessions wait for a lock of this one."""
    with psycopg.connect(by.info.dsn, password=by.info.password) as other:
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [by.info.backend_pid]
        ).fetchone() or (0,)
    return int(count)


class TestAsking:
    def test_nothing_is_deleted_where_nobody_can_be_asked(self, triagem: Triagem, database: Database) -> None:
        write(database, [ours()])

        assert_one_line(
            triagem("db", "forget", "crm", "4711"), "Ticket '4711' of 'crm': received 2026-11-22", "--yes"
        )

        assert WORDS in said(database)

    @pytest.mark.parametrize(
        ("source", "external_id", "said"), [(" ", "1", "source"), ("crm", "x" * 256, "external_id")]
    )
    def test_what_is_no_ticket_s_name_is_refused(
        self, triagem: Triagem, source: str, external_id: str, said: str
    ) -> None:
        assert_one_line(triagem("db", "forget", source, external_id, "--yes"), said)

    def test_with_redis_away_postgres_is_done_and_doing_it_again_mends_it(
        self, triagem: Triagem, database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(database, [ours()])
        inbox.put(Lane.LIVE, [entry_of("4711")])
        with monkeypatch.context() as patched:
            patched.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
            assert_one_line(triagem("db", "forget", "crm", "4711", "--yes"), "Redis does not answer")
        assert WORDS not in said(database)

        assert triagem("db", "forget", "crm", "4711", "--yes").status == 0

        assert waiting(inbox) == []


class TestDatabase:
    def test_the_first_moment_of_forgetting_stays(self, database: Database) -> None:
        assert entomb(database, WHOSE)
        first = find(database, WHOSE)
        assert not entomb(database, WHOSE)

        assert first is not None
        assert first == find(database, WHOSE)

    def test_the_planner_s_statistics_hold_no_words(self, database: Database) -> None:
        write(database, [ours(f"{WORDS} {name}", external_id=str(name)) for name in range(20)])
        buried(database, *(entry_of(str(name)) for name in range(20)))
        with database.autocommit() as connection:
            connection.execute(text("ANALYZE"))
            kept = connection.execute(text("SELECT * FROM pg_stats WHERE schemaname = 'public'")).all()

        assert "crm" in str(kept)
        assert WORDS not in str(kept)
        assert WORDS.encode().hex() not in str(kept)


class TestInbox:
    def test_all_pages_of_both_lanes_are_searched(self, inbox: Inbox) -> None:
        for lane in Lane:
            inbox.put(lane, [entry_of(str(number)) for number in range(1100)] + [entry_of("last")])
        looked: list[int] = []

        assert erase(inbox, Identity("crm", "last"), looked.append).entries == 2

        assert looked == [500, 500, 101] * 2

    def test_without_streams_nothing_is_found(self, redis: Redis) -> None:
        assert erase(Inbox(redis), WHOSE).entries == 0

    def test_redis_log_is_rewritten_without_what_was_deleted(self, inbox: Inbox, log: Path) -> None:
        inbox.put(Lane.LIVE, [entry_of("4711", "unheard-of")])
        assert "unheard-of" in written(log)

        erase(inbox, WHOSE)
        assert rewrite_log(inbox.redis) is LogRewrite.STARTED

        until(lambda: "unheard-of" not in written(log))

    def test_a_rewrite_that_began_before_is_waited_for(self, inbox: Inbox) -> None:
        redis = Answering(inbox, *[ResponseError("Background append only file rewriting already in progress")] * 2)

        assert rewrite_log(redis, patience_s=0) is LogRewrite.BUSY
        assert rewrite_log(redis) is LogRewrite.STARTED

    def test_a_server_that_allows_no_rewrite_is_no_failure(self, inbox: Inbox) -> None:
        redis = Answering(inbox, ResponseError("unknown command 'BGREWRITEAOF'"), NoPermissionError("no permissions"))

        assert [rewrite_log(redis), rewrite_log(redis)] == [LogRewrite.REFUSED] * 2

    def test_a_server_without_a_log_is_not_made_to_write_one(self, inbox: Inbox) -> None:
        redis = Answering(inbox, AssertionError("wrote one"), aof_enabled=0)

        assert rewrite_log(redis) is LogRewrite.OFF

    @pytest.fixture
    def log(self, inbox: Inbox) -> Path:
        """The folder of the append-only file."""
        until(lambda: not inbox.redis.info("persistence")["aof_rewrite_in_progress"])
        return Path(inbox.redis.config_get("dir")["dir"] or "") / "appendonlydir"


class Answering(Redis):
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


def written(log: Path) -> str:
    """All that stands in the append-only file."""
    return "".join(file.read_bytes().decode(errors="replace") for file in log.iterdir() if file.exists())
