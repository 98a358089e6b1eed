"""Many requests wait for results; one query per round serves all of them."""

import asyncio
from collections.abc import Sequence

from tests.support.builders import NOW
from triagem.contracts.errors import DatabaseUnavailable
from triagem.contracts.result import Result
from triagem.gateway.predict import ResultWaiter


def stored(name: str) -> Result:
    return Result(
        1,
        "predict",
        name,
        "venda",
        0.9,
        "automate",
        "venda",
        reviewer=None,
        unclear=False,
        model_version="v1.0.0",
        received_at=NOW,
        classified_at=NOW,
        tokens=3,
        truncated=False,
        language="pt",
        abstain_reason=None,
    )


class FakeQuery:
    """Returns nothing in the first round, and all results from the second on."""

    def __init__(self, first: Exception | None = None) -> None:
        self.calls = list[set[str]]()
        self._first = first

    def __call__(self, names: Sequence[str]) -> list[Result]:
        self.calls.append(set(names))
        if len(self.calls) == 1:
            if self._first:
                raise self._first
            return []
        return [stored(name) for name in names]


async def wait_for_all(waiter: ResultWaiter, names: Sequence[str]) -> list[Result | None]:
    return await asyncio.gather(*(waiter.wait(name, 30) for name in names))


def test_all_waiters_share_one_query_per_round() -> None:
    names, query = [str(number) for number in range(32)], FakeQuery()
    results = asyncio.run(wait_for_all(ResultWaiter(query), names))
    assert [result and result.external_id for result in results] == names
    assert query.calls == [set(names)] * 2


def test_an_outage_of_the_database_is_retried() -> None:
    assert asyncio.run(wait_for_all(ResultWaiter(FakeQuery(DatabaseUnavailable("unavailable"))), ["1"])) == [
        stored("1")
    ]


def test_without_waiters_there_is_no_query() -> None:
    query = FakeQuery()

    async def wait_twice() -> Result | None:
        waiter = ResultWaiter(query)
        assert await waiter.wait("1", 0) is None
        assert waiter._poller is not None
        await waiter._poller
        return await waiter.wait("2", 30)

    assert asyncio.run(wait_twice()) == stored("2")
    assert all("1" not in names for names in query.calls[1:])
