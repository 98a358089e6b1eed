"""`python -m bench`: benchmarks that compare alternatives side by side in one run."""

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from triagem.cli import logs
from triagem.cli.main import run as run_command
from triagem.cli.output import console, errors, print_json

bench = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmark engine, pipeline, gateway and database on this machine.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A version or its folder, or `bert-base` or `minilm` for a model of that size with random weights."
    ),
]
Rounds = Annotated[int, typer.Option(min=1, help="Number of alternating runs of each alternative.")]
Corpus = Annotated[
    Path | None, typer.Option(help="JSONL file with `prompt`, `text` or `body` fields; default: the sample data.")
]


@bench.callback()
def configure_logs() -> None:
    """Benchmark engine, pipeline, gateway and database on this machine."""
    logs.configure(logging.WARNING)


@bench.command()
def engine(
    *,
    model: Model = None,
    corpus: Corpus = None,
    texts: Annotated[int, typer.Option(min=1, help="Maximum number of texts, evenly spaced over the corpus.")] = 256,
    rounds: Rounds = 5,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, `mps` or `auto`.")] = "auto",
    batch_tokens: Annotated[
        int | None, typer.Option(min=512, help="Token budget of our micro-batches, instead of 32 texts.")
    ] = None,
    spec_table: Annotated[
        bool, typer.Option("--spec-table", help="Also print the table of the original specification.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare Triagem's engine with transformers, ONNX Runtime, OpenVINO and other installed engines.

    Example: `python -m bench engine --model bert-base --spec-table`
    """
    from bench.engine import run
    from bench.model import open_model
    from bench.tables import print_engine
    from bench.texts import read_texts

    sample = read_texts(corpus, texts)
    with open_model(model) as version, errors.status("measure") as status:
        report = run(
            version,
            sample,
            device=device,
            rounds=rounds,
            batch_tokens=batch_tokens,
            spec_table=spec_table,
            on_progress=status.update,
        )
    if as_json:
        print_json(report)
    else:
        print_engine(report)


@bench.command()
def pipe(
    *,
    model: Model = None,
    corpus: Corpus = None,
    tickets: Annotated[int, typer.Option(min=1000, help="Number of tickets to drain with a no-op engine.")] = 30_000,
    rounds: Rounds = 3,
    device: Annotated[
        str | None, typer.Option(help="`cpu`, `cuda`, `mps` or `auto`; default: TRIAGEM_DEVICE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the pipeline around the engine: tickets/s against celery-batches, latency, share of the engine's rate.

    The benchmark starts its own servers with durable commits, in a temporary folder that is deleted afterwards.

    Example: `python -m bench pipe --model minilm`
    """
    from bench.harness import bench_stack
    from bench.model import open_model
    from bench.pipeline import run
    from bench.tables import print_pipe
    from bench.texts import read_texts
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # otherwise its servers would keep running
    if device:
        os.environ["TRIAGEM_DEVICE"] = device  # read by the worker process
    sample = read_texts(corpus, 512)
    with open_model(model) as version, bench_stack(version) as stack, errors.status("measure") as status:
        report = run(stack, version, sample, tickets=tickets, rounds=rounds, on_progress=status.update)
    if as_json:
        print_json(report)
    else:
        print_pipe(report)


@bench.command()
def reclassify(
    *,
    tickets: Annotated[int, typer.Option(min=1000, help="Number of stored tickets per run.")] = 60_000,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """Compare a reclassification run with first classification, and measure live latency during it (no-op engine).

    Example: `python -m bench reclassify`
    """
    from bench.harness import minilm_stack
    from bench.reclassify import run
    from bench.texts import read_texts

    with minilm_stack() as (stack, on_progress):
        report = run(stack, read_texts(None, 512), tickets=tickets, rounds=rounds, on_progress=on_progress)
    if as_json:
        print_json(report)
        return
    console.print(
        f"{report.run_per_s:,.0f} stored tickets/s, {report.share_of_first_pass:.0%} of the first pass's"
        f" {report.first_pass_per_s:,.0f}\n"
        f"p95 latency of live tickets: idle {report.idle_p95_ms:.1f} ms, during a run"
        f" {report.during_run_p95_ms:.1f} ms ({report.times_idle:.1f}x)",
        highlight=False,
    )


@bench.command()
def gateway(
    *,
    seconds: Annotated[float, typer.Option(min=0.5, help="Duration of each load per round.")] = 10.0,
    rounds: Rounds = 3,
    before: Annotated[Path | None, typer.Option(help="Another source tree to measure in turns.")] = None,
    as_json: Json = False,
) -> None:
    """Measure HTTP requests at up to 3,000 single tickets/s and 20,000 tickets/s in batches of 100.

    Example: `python -m bench gateway`
    """
    from bench.formatting import new_table, print_machine
    from bench.gateway import run
    from bench.texts import read_texts
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()
    with errors.status("measure") as status:
        report = run(read_texts(None, 512), seconds=seconds, rounds=rounds, on_progress=status.update, before=before)
    if as_json:
        print_json(report)
        return
    print_machine(console, report.machine)
    names = ("requests/s offered", "answered", "tickets/s", "p50 ms", "p99 ms", "CPU µs per request", "failed")
    rows = new_table(
        f"{report.connections} connections, {report.keys} keys, {report.seconds:g} s each", "load", *names
    )
    for row in report.rows:
        rates = (f"{row.offered_per_s:,.0f}", f"{row.requests_per_s:,.0f}", f"{row.tickets_per_s:,.0f}")
        rows.add_row(
            f"{row.load}, {row.tree}",
            *rates,
            f"{row.p50_ms:.1f}",
            f"{row.p99_ms:.1f}",
            f"{row.cpu_us:,.0f}",
            str(row.failed),
        )
    console.print(rows)
    console.print(f"p99 of single tickets against the no-op route: {report.p99_vs_noop:.1f}x", highlight=False)
    for load, ratio in report.cpu_vs_before.items():
        console.print(f"CPU time per request, now / before: {load}: {ratio:.2f}", highlight=False)


@bench.command(name="console")
def console_pages(
    *,
    tickets: Annotated[int, typer.Option(min=5000, help="Number of stored tickets.")] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Measure the server time of each console page with many stored tickets.

    Example: `python -m bench console --tickets 100000`
    """
    from bench.console import run
    from bench.harness import minilm_stack
    from bench.tables import print_console

    with minilm_stack() as (stack, on_progress):
        report = run(stack, tickets, on_progress=on_progress)
    if as_json:
        print_json(report)
    else:
        print_console(report)


@bench.command()
def metrics(
    *,
    tickets: Annotated[int, typer.Option(min=1000, help="Number of tickets to drain per round.")] = 60_000,
    rounds: Rounds = 4,
    as_json: Json = False,
) -> None:
    """Measure the cost of Prometheus scrapes: the pipeline with a no-op engine, scraped ten times a second or never.

    Example: `python -m bench metrics`
    """
    from bench.harness import minilm_stack
    from bench.scraping import run
    from bench.texts import read_texts

    with minilm_stack() as (stack, on_progress):
        report = run(stack, read_texts(None, 512), tickets=tickets, rounds=rounds, on_progress=on_progress)
    if as_json:
        print_json(report)
        return
    console.print(
        f"without scrapes {report.alone_per_s.median:,.0f} tickets/s ±{report.alone_per_s.spread:.0%}, with"
        f" {report.scrapes_per_s:.1f} scrapes/s {report.scraped_per_s.median:,.0f}"
        f" ±{report.scraped_per_s.spread:.0%} ({report.ratio:.1%})\n"
        f"a scrape takes {report.scrape_ms:.1f} ms and returns {report.page_bytes:,} bytes\n"
        f"cost of one scrape every 15 s: {report.cost:.2%} of throughput by the measured loss, at most"
        f" {report.cost_by_time:.2%} by the scrape time",
        highlight=False,
    )


@bench.command()
def store(
    *,
    rows: Annotated[int, typer.Option(min=10_000, help="Number of stored tickets at the end.")] = 1_000_000,
    plans: Annotated[bool, typer.Option("--plans", help="Also print Postgres's query plans.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the database as it grows: rows/s of the window statement and of COPY, time of `show` and `results`.

    Uses its own server in a temporary folder, deleted afterwards, with durable commits.

    Example: `python -m bench store --rows 10000000`
    """
    from bench.store import run
    from bench.tables import print_store
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # otherwise its server would keep running
    with errors.status("measure") as status:
        report = run(rows, on_progress=status.update)
    if as_json:
        print_json(report)
    else:
        print_store(report, plans=plans)


@bench.command()
def scale(
    *,
    max_gpus: Annotated[int, typer.Option(min=1, max=1024, help="Size of the largest cluster, in GPUs.")] = 64,
    days: Annotated[int, typer.Option(min=1, help="Number of simulated days.")] = 3,
    seed: Annotated[int, typer.Option(help="Random seed of noise and cold starts.")] = 42,
    as_json: Json = False,
) -> None:
    """Simulate GPU-hours and waits with Triagem's signal and with queue length; cold starts of 4 to 8 minutes.

    This is a simulation with a daily load curve: it starts nothing and uses no server.

    Example: `python -m bench scale --json > scale.json && python docs/images/scaling.py scale.json > scaling.svg`
    """
    from bench.formatting import new_table
    from bench.scaling.scale import run

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


@bench.command()
def lane(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of the put, fetch and ack loop.")] = 10,
    as_json: Json = False,
) -> None:
    """Measure what a ticket costs Redis from put to ack: CPU time of its thread, and memory while the ticket waits.

    Uses its own server in a temporary folder, deleted afterwards, which syncs every write to disk.

    Example: `python -m bench lane`
    """
    from bench.lane import run
    from bench.texts import read_texts
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


@bench.command(name="cold-start")
def cold_start(
    *,
    data: Annotated[Path, typer.Argument(help="JSONL file with `prompt`, `completion` and `domain`.")],
    samples: Annotated[
        Path, typer.Option(help="Folder with `train.jsonl` and `test.jsonl`, whose Portuguese rows are a company.")
    ] = Path("examples"),
    cache: Annotated[Path, typer.Option(help="Folder for embeddings.")] = Path("~/.cache/triagem/cold-start"),
    starts: Annotated[int, typer.Option(min=2, help="Number of simulated starts of each company.")] = 20,
    estimates: Annotated[int, typer.Option(min=10, help="Number of starts whose estimate is checked.")] = 200,
    as_json: Json = False,
) -> None:
    """Simulate companies that start without labels: macro-F1 by number of answers, and the coverage of the estimate.

    Example: `python -m bench cold-start train_en.jsonl`
    """
    from bench.cold_start import run
    from bench.tables import print_cold_start

    with errors.status("embed") as status:
        report = run(data, samples, cache.expanduser(), starts=starts, estimates=estimates, on_progress=status.update)
    if as_json:
        print_json(report)
    else:
        print_cold_start(report)


@bench.command(name="preflight")
def preflight_(
    *,
    data: Annotated[list[Path], typer.Argument(help="JSONL files with `prompt` and `completion`, suporte or venda.")],
    cache: Annotated[Path, typer.Option(help="Folder for embeddings.")] = Path("~/.cache/triagem/preflight"),
    rows: Annotated[int, typer.Option(min=100, help="Rows of the simulated export.")] = 1000,
    splits: Annotated[int, typer.Option(min=1, help="Number of random splits.")] = 200,
    as_json: Json = False,
) -> None:
    """Check the precision that `triagem preflight` promises for an export, on rows outside the export.

    Example: `python -m bench preflight train_en.jsonl dev_en.jsonl`
    """
    from bench.formatting import new_table
    from bench.quality.preflight import run

    with errors.status("split"):
        report = run(data, cache.expanduser(), rows=rows, splits=splits)
    if as_json:
        print_json(report)
        return
    title = f"{report.splits} splits: {report.rows:,} of {report.texts:,} different texts, base {report.base}"
    names = ("precision", "promised", "held on unseen rows", "promised share", "unseen share", "unseen precision")
    table = new_table(title, *names)
    for target in report.targets:
        shares = (f"{share:.1%}" for share in (target.promised_share, target.unseen_share, target.unseen_precision))
        table.add_row(f"{target.precision:.0%}", str(target.promised), str(target.held), *shares)
    console.print(table)


if __name__ == "__main__":
    run_command(command=bench)
