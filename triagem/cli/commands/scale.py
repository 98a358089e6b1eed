"""`triagem bench scale` and `lane`: simulate the scaling signal on GPUs, and measure the capacity of one Redis."""

from dataclasses import asdict
from typing import Annotated

import typer

from triagem.cli.commands.bench import Json, bench
from triagem.cli.output import console, print_json


def register(_: typer.Typer) -> None:
    """Add the commands to `triagem bench`."""
    bench.command()(scale)
    bench.command()(lane)


def scale(
    *,
    max_gpus: Annotated[int, typer.Option(min=1, max=1024, help="Size of the largest cluster, in GPUs.")] = 64,
    days: Annotated[int, typer.Option(min=1, help="Number of simulated days.")] = 3,
    seed: Annotated[int, typer.Option(help="Random seed of noise and cold starts.")] = 42,
    as_json: Json = False,
) -> None:
    """Simulate GPU-hours and waits of our signal and of a plain queue length, with cold starts of 4 to 8 minutes.

    This is a simulation with a daily load curve: it starts nothing and uses no server.

    Example: `triagem bench scale --json > scale.json && python docs/images/scaling.py scale.json > scaling.svg`
    """
    from triagem.cli.bench.formatting import new_table
    from triagem.cli.bench.scale import run

    outcomes = run([2**power for power in range(max_gpus.bit_length())], days=days, seed=seed)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
        return
    names = ("GPUs", "signal", "GPU-hours/day", "mean wait, s", "p95 wait, s", "starts/day")
    rows = new_table(f"{days} simulated days", *names)
    for outcome in outcomes:
        waits = (f"{outcome.mean_wait_s:,.0f}", f"{outcome.p95_wait_s:,.0f}")
        rows.add_row(str(outcome.gpus), outcome.signal, f"{outcome.gpu_hours:,.1f}", *waits, f"{outcome.starts:,.0f}")
    console.print(rows)


def lane(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of the put, fetch and ack loop.")] = 10,
    as_json: Json = False,
) -> None:
    """Measure what a ticket costs Redis from put to ack: CPU time of its thread, and memory while the ticket waits.

    Uses its own server in a temporary folder, deleted afterwards, which syncs every write to disk.

    Example: `triagem bench lane`
    """
    from triagem.cli.bench.lane import run
    from triagem.cli.bench.texts import read_texts
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # otherwise its servers would keep running
    report = run(read_texts(None, 512), seconds=seconds)
    if as_json:
        print_json(report)
        return
    console.print(
        f"{report.cpu_us:.1f} µs of the Redis thread per ticket: at most {1e6 / report.cpu_us:,.0f} tickets/s\n"
        f"{report.bytes:,.0f} bytes per waiting ticket; a single client reaches"
        f" {report.one_client_per_s:,.0f} tickets/s",
        highlight=False,
    )
