"""Runs the command in this process and checks its output."""

from collections.abc import Callable
from typing import NamedTuple


class CommandResult(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


Triagem = Callable[..., CommandResult]


def assert_one_line(result: CommandResult, *expected: str) -> None:
    """The command failed with status 1 and one line on standard error that contains all `expected` texts."""
    assert result.status == 1, result
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert "Traceback" not in result.err
    for text in expected:
        assert text in result.err
