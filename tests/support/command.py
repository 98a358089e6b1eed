"""Run the command in this process and look at what it leaves behind."""

from collections.abc import Callable
from typing import NamedTuple


class Answer(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Triagem = Callable[..., Answer]


def assert_one_line(answer: Answer, *said: str) -> None:
    assert answer.status == 1, answer
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert "Traceback" not in answer.err
    for words in said:
        assert words in answer.err
