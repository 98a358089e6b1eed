"""Prints the steps of a command with their duration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class StepTimer:
    """Prints one line per completed step with its duration. A failed step prints nothing: its error is enough."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Time a step and show a spinner."""
        with self.timed(title), self.console.status(title):
            yield

    @contextmanager
    def timed(self, title: str) -> Iterator[None]:
        """Time a step that draws its own progress."""
        started = time.monotonic()
        yield
        seconds = self.seconds[title] = round(time.monotonic() - started, 2)
        self.console.print(f"[green]✓[/green] {title} [dim]({seconds:.1f} s)[/dim]", highlight=False)
