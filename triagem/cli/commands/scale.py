"""`triagem bench scale` and `lane`: the scaling signal on simulated GPUs, and how much one Redis carries."""

from dataclasses import asdict
from typing import Annotated

import typer

from triagem.cli.commands.bench import Json, bench
from triagem.cli.output import console, print_json


def register(_: typer.Typer) -> None:
    """Add the commands, to those of `triagem bench`."""
    bench.command()(scale)
    bench.command()(lane)


def scale(
    *,
    most: Annotated[int, typer.Option(min=1, max=1024, help="The largest cluster, in GPUs.")] = 64,
    days: Annotated[int, typer.Option(min=1, help="Simulated days.")] = 3,
    seed: Annotated[int, typer.Option(help="Of noise and cold starts.")] = 42,
    as_json: Json = False,
) -> None:
    """GPU-hours and waits of our signal beside a plain queue length: a day's curve, cold starts of 4 to 8 minutes.

    A simulation: nothing is started, and no server is asked.

    Example: `triagem bench scale --json > scale.json && python docs/images/scaling.py scale.json > scaling.svg`
    """
    from triagem.cli.bench.report import table
    from triagem.cli.bench.scale import run

    outcomes = run([2**power for power in range(most.bit_length())], days=days, seed=seed)
    if as_json:
        print_json([asdict(one) for one in outcomes])
        return
    names = ("GPUs", "signal", "GPU-hours a day", "mean wait, s", "95 % wait at most, s", "starts a day")
    rows = table(f"{days} simulated days", *names)
    for one in outcomes:
        waits = (f"{one.mean_wait_s:,.0f}", f"{one.p95_wait_s:,.0f}")
        rows.add_row(str(one.gpus), one.signal, f"{one.gpu_hours:,.1f}", *waits, f"{one.starts:,.0f}")
    console.print(rows)


def lane(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to put, take and settle.")] = 10,
    as_json: Json = False,
) -> None:
    """What a ticket costs Redis, from put to settled: time of its one thread, and memory while it waits.

    A server of its own in a temporary folder, erased afterwards; synced to disk always.

    Example: `triagem bench lane`
    """
    from triagem.cli.bench.corpus import texts
    from triagem.cli.bench.lane import run
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # or its servers would outlive it
    report = run(texts(None, 512), seconds=seconds)
    if as_json:
        print_json(report)
        return
    console.print(
        f"{report.cpu_us:.1f} µs of Redis' thread a ticket: at most {1e6 / report.cpu_us:,.0f} tickets/s\n"
        f"{report.bytes:,.0f} bytes a ticket that waits; one client alone {report.one_client_per_s:,.0f} tickets/s",
        highlight=False,
    )
