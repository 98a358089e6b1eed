"""Progress of long work on standard error: a bar on a terminal, lines elsewhere, and a timer of steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from triagem.cli.output import errors

_LINE_EVERY_S = 10.0


@contextmanager
def progress(
    title: str, total: float | None = None, *, screen: Console | None = None
) -> Iterator[Callable[..., None]]:
    """A function that updates a progress bar, with the parameters of `rich.progress.Progress.update`.

    The bar is shown only on a terminal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = screen or errors
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        yield partial(bar.update, bar.add_task(title, total=total))


@contextmanager
def progress_reporter(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A function that shows the number of finished items, their total (0: unknown), and a note such as "inbox
    full, waiting".

    On a terminal it moves a bar; elsewhere it prints a line to standard error when the note changes, and every ten
    seconds.
    """
    printed, last_note = time.monotonic(), ""
    with progress(title) as update:

        def report(done: int, total: int, note: str) -> None:
            nonlocal printed, last_note
            description = f"{title} ({note})" if note else title
            update(completed=done, total=total or None, description=description)
            if not errors.is_terminal and (note != last_note or time.monotonic() - printed > _LINE_EVERY_S):
                amount = f"{done:,} of {total:,}" if total else f"{done:,} done"
                errors.print(f"{description}: {amount}", markup=False, highlight=False)
                printed, last_note = time.monotonic(), note

        yield report


class StepTimer:
    """Prints a line with the duration of each completed step. A failed step prints no line, only its error."""

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
        """Time a step that shows its own progress."""
        started = time.monotonic()
        yield
        seconds = self.seconds[title] = round(time.monotonic() - started, 2)
        self.console.print(f"[green]✓[/green] {title} [dim]({seconds:.1f} s)[/dim]", highlight=False)
