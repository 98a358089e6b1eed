"""Reports as tables for people."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from triagem.cli.bench.timing import Figure


def machine_lines(console: Console, machine: Mapping[str, str]) -> None:
    """What it was measured on."""
    for name, said in machine.items():
        console.print(f"{name}: {said}", highlight=False, markup=False)


def table(title: str, *columns: str) -> Table:
    """An empty table whose first column is text and whose others are figures."""
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(columns):
        made.add_column(name, justify="right" if place else "left")
    return made


def rate(figure: Figure | None) -> str:
    """`57.0 ±3 %`: the median, and half the distance between the slowest and the fastest run."""
    if figure is None:
        return ""
    digits = 0 if figure.median >= 100 else 1
    return f"{figure.median:,.{digits}f} ±{figure.spread:.0%}"


def times(figure: Figure | None) -> str:
    """`13.8x`."""
    return "" if figure is None else f"{figure.median:.2f}x"


def share(value: float | None) -> str:
    """`99.8 %`."""
    return "" if value is None else f"{value:.1%}"
