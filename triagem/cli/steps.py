"""Steps with their duration, so that the first wait is explained."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    """Prints one line a step: what is being done, then how long it took. Of a step that failed the error speaks."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A step that shows a spinner meanwhile."""
        with self.timed(what), self.console.status(what):
            yield

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """A step that draws its own progress."""
        began = time.monotonic()
        yield
        took = self.seconds[what] = round(time.monotonic() - began, 2)
        self.console.print(f"[green]✓[/green] {what} [dim]({took:.1f} s)[/dim]", highlight=False)
