"""Requests that arrive together share one call to Redis, and each gets its own outcome."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from tests.support.builders import fake_inbox
from tests.support.waiting import until
from triagem.contracts.errors import InboxFull, InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.gateway.intake import Intake
from triagem.inbox import Batch, Idempotency, Inbox, PutRecord

LIVE, BULK = Lane


class RecordedInbox(Inbox):
    """An inbox that records the number of batches of each call, and waits for `go_on` before it."""

    def __init__(self, **settings: int) -> None:
        fake = fake_inbox(**settings)
        super().__init__(fake.redis, fake.settings)
        self.calls: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def put_batches(self, lane: Lane, batches: Sequence[Batch]) -> list[PutRecord | InboxFull]:
        self.calls.append(len(batches))
        assert self.go_on.wait(30)
        return super().put_batches(lane, batches)

    async def called(self, count: int) -> None:
        """Wait until this number of calls has begun."""
        await asyncio.to_thread(until, lambda: len(self.calls) >= count)


def put_together(inbox: Inbox, *batches: Batch) -> list[PutRecord | BaseException]:
    """The outcomes of batches that arrive in one iteration of the event loop."""

    async def put() -> list[PutRecord | BaseException]:
        intake = Intake(inbox)
        return await asyncio.gather(*(intake.put(LIVE, batch) for batch in batches), return_exceptions=True)

    return asyncio.run(put())


def entry_ids(outcome: PutRecord | BaseException) -> list[bytes]:
    assert isinstance(outcome, PutRecord)
    return outcome.ids


def test_requests_that_arrive_together_share_a_call_and_each_gets_its_own_entries() -> None:
    inbox = RecordedInbox()
    outcomes = put_together(inbox, Batch([b"1"], "first"), Batch([b"2", b"3"], "second"), Batch([b"4"]))

    assert inbox.calls == [3]
    entries = inbox.fetch(LIVE, "worker", 10)
    assert [(entry.payload, entry.request_id) for entry in entries] == [
        (b"1", "first"), (b"2", "second"), (b"3", "second"), (b"4", None)
    ]  # fmt: skip
    assert [entry.id for entry in entries] == [number for outcome in outcomes for number in entry_ids(outcome)]


def test_requests_that_arrive_during_a_call_share_the_next_one() -> None:
    inbox = RecordedInbox()

    async def put() -> None:
        intake = Intake(inbox)
        inbox.go_on.clear()
        first = asyncio.create_task(intake.put(LIVE, Batch([b"1"])))
        await inbox.called(1)
        others = [asyncio.create_task(intake.put(LIVE, Batch([b"2"]))) for _ in range(3)]
        await asyncio.sleep(0)  # the tasks have begun to wait
        inbox.go_on.set()
        await asyncio.gather(first, *others)

    asyncio.run(put())
    assert inbox.calls == [1, 3]


def test_a_batch_that_does_not_fit_is_refused_alone() -> None:
    inbox = RecordedInbox(live_high_water=3)
    first, large, last = put_together(inbox, Batch([b"1"]), Batch([b"2"] * 3), Batch([b"3"] * 2))

    assert (len(entry_ids(first)), len(entry_ids(last))) == (1, 2)
    assert isinstance(large, InboxFull)
    assert str(large).startswith("the live lane is full (1 entries, the high-water mark is 3)")
    assert inbox.depth(LIVE).waiting == 3


def test_two_batches_of_one_key_in_a_call_are_put_once() -> None:
    inbox = RecordedInbox()
    first, again = (Batch([b"1"], idempotency=Idempotency("key", b"print", b"content", 60)) for _ in range(2))
    outcomes = put_together(inbox, first, Batch([b"2"]), again)

    assert outcomes[0] == outcomes[2]
    assert inbox.depth(LIVE).waiting == 2


def test_an_error_of_redis_reaches_every_request_of_the_call_and_the_next_call_is_tried() -> None:
    class Broken(RecordedInbox):
        def put_batches(self, lane: Lane, batches: Sequence[Batch]) -> list[PutRecord | InboxFull]:
            if not self.calls:
                self.calls.append(len(batches))
                raise InboxUnavailable("Redis does not answer")
            return super().put_batches(lane, batches)

    async def put() -> list[PutRecord | BaseException]:
        intake = Intake(Broken())
        failed = await asyncio.gather(*(intake.put(LIVE, Batch([b"1"])) for _ in range(2)), return_exceptions=True)
        return [*failed, await intake.put(LIVE, Batch([b"2"]))]

    *failed, last = asyncio.run(put())
    assert [type(outcome) for outcome in failed] == [InboxUnavailable] * 2
    assert len(entry_ids(last)) == 1


def test_requests_that_waited_for_a_call_that_failed_do_not_wait_for_another() -> None:
    class Hanging(RecordedInbox):
        def put_batches(self, lane: Lane, batches: Sequence[Batch]) -> list[PutRecord | InboxFull]:
            super().put_batches(lane, batches)
            raise InboxUnavailable("Redis does not answer")

    inbox = Hanging()

    async def put() -> list[PutRecord | BaseException]:
        intake = Intake(inbox)
        inbox.go_on.clear()
        first = asyncio.create_task(intake.put(LIVE, Batch([b"1"])))
        await inbox.called(1)
        second = asyncio.create_task(intake.put(LIVE, Batch([b"2"])))
        await asyncio.sleep(0)
        inbox.go_on.set()
        return [*await asyncio.gather(first, second, return_exceptions=True)]

    assert [type(outcome) for outcome in asyncio.run(put())] == [InboxUnavailable] * 2
    assert inbox.calls == [1]


def test_while_one_lane_waits_for_redis_the_other_is_served() -> None:
    inbox = RecordedInbox()

    async def put() -> PutRecord:
        intake = Intake(inbox)
        inbox.go_on.clear()
        waiting = asyncio.create_task(intake.put(LIVE, Batch([b"1"])))
        await inbox.called(1)
        other = asyncio.create_task(intake.put(BULK, Batch([b"2"])))
        await inbox.called(2)
        inbox.go_on.set()
        await waiting
        return await other

    assert len(asyncio.run(put()).ids) == 1


def test_a_request_that_is_cancelled_does_not_affect_the_others() -> None:
    inbox = RecordedInbox()

    async def put() -> PutRecord:
        intake = Intake(inbox)
        cancelled, other = (asyncio.create_task(intake.put(LIVE, Batch([b"1"]))) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        return await other

    assert len(asyncio.run(put()).ids) == 1


@pytest.mark.parametrize("batch", [Batch([b"x"] * 600), Batch([b"x" * 600_000])])
def test_a_call_takes_a_limited_number_of_entries_and_bytes(batch: Batch) -> None:
    inbox = RecordedInbox()
    put_together(inbox, batch, batch)

    assert inbox.calls == [1, 1]
