"""Many wait for results, one asks for all of them."""

import asyncio
from collections.abc import Sequence

from tests.support.builders import NOW
from triagem.contracts.errors import DatabaseAway
from triagem.contracts.result import Result
from triagem.gateway.answers import Answers


def said(name: str) -> Result:
    return Result(1, "predict", name, "venda", 0.9, "automate", "venda", None, "v1.0.0", NOW, NOW, 3, truncated=False)


class Rounds:
    """Knows nothing in the first round, and everything from the second on."""

    def __init__(self, first: Exception | None = None) -> None:
        self.asked = list[set[str]]()
        self._first = first

    def __call__(self, names: Sequence[str]) -> list[Result]:
        self.asked.append(set(names))
        if len(self.asked) == 1:
            if self._first:
                raise self._first
            return []
        return [said(name) for name in names]


async def wait_for_all(answers: Answers, names: Sequence[str]) -> list[Result | None]:
    return await asyncio.gather(*(answers.wait(name, 30) for name in names))


def test_all_who_wait_are_one_question_a_round() -> None:
    names, rounds = [str(number) for number in range(32)], Rounds()
    told = asyncio.run(wait_for_all(Answers(rounds), names))
    assert [one and one.external_id for one in told] == names
    assert rounds.asked == [set(names)] * 2


def test_an_outage_of_the_database_is_waited_out() -> None:
    assert asyncio.run(wait_for_all(Answers(Rounds(DatabaseAway("away"))), ["1"])) == [said("1")]


def test_where_nobody_waits_any_longer_nobody_asks() -> None:
    rounds = Rounds()

    async def session() -> Result | None:
        answers = Answers(rounds)
        assert await answers.wait("1", 0) is None
        assert answers._asking is not None
        await answers._asking
        return await answers.wait("2", 30)

    assert asyncio.run(session()) == said("2")
    assert all("1" not in names for names in rounds.asked[1:])
