"""A psycopg connection whose every call ends in time, even if the server is frozen.

`statement_timeout` is enforced by the server, and a frozen server enforces nothing. TCP notices nothing either: the
server's kernel still acknowledges what its stopped process does not read.
"""

import time
from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg

T = TypeVar("T")


class DeadlineConnection(psycopg.Connection[Any]):
    """Raises OperationalError, and closes itself, if a call is not answered in time."""

    deadline_s: float

    @classmethod
    def open(cls, *arguments: Any, deadline_s: float, **settings: Any) -> Self:
        """Connect as `psycopg.connect` does, with a deadline per call in seconds."""
        connection = cls.connect(*arguments, **settings)
        connection.deadline_s = deadline_s
        return connection

    def wait(self, gen: Any, *arguments: Any, **settings: Any) -> Any:
        """Run one call. psycopg sends the generator a wake-up several times a second while the server is silent."""
        return super().wait(self._limited(gen), *arguments, **settings)

    def _limited(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        end = time.monotonic() + self.deadline_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.deadline_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
