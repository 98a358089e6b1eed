"""Format benchmark results as tables."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from bench.timing import Measurement


def print_machine(console: Console, machine: Mapping[str, str]) -> None:
    """Print the machine description, one line per property."""
    for name, value in machine.items():
        console.print(f"{name}: {value}", highlight=False, markup=False)


def new_table(title: str, *columns: str) -> Table:
    """An empty table with a text column followed by number columns."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left")
    return table


def format_rate(measurement: Measurement | None) -> str:
    """`57.0 ±3 %`: the median, and half the range between the slowest and the fastest run."""
    if measurement is None:
        return ""
    digits = 0 if measurement.median >= 100 else 1
    return f"{measurement.median:,.{digits}f} ±{measurement.spread:.0%}"


def format_ratio(measurement: Measurement | None) -> str:
    """`13.8x`."""
    return "" if measurement is None else f"{measurement.median:.2f}x"


def format_share(value: float | None) -> str:
    """`99.8 %`."""
    return "" if value is None else f"{value:.1%}"
