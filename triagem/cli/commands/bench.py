"""`triagem bench`: side-by-side figures of this machine, as ratios of one run."""

import os
from pathlib import Path
from typing import Annotated

import typer

from triagem.cli.output import console, errors, print_json

bench = typer.Typer(no_args_is_help=True, help="Figures of this machine, side by side: engine, pipe, gateway, store.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None,
    typer.Option(help="A version or a version's folder; `bert-base` or `minilm`: these shapes, weights from a seed."),
]
Rounds = Annotated[int, typer.Option(min=1, help="How often each contender runs, in turns.")]
Corpus = Annotated[Path | None, typer.Option(help="JSONL with `prompt`, `text` or `body`; default: the samples.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bench, name="bench")


@bench.command()
def engine(
    *,
    model: Model = None,
    corpus: Corpus = None,
    texts: Annotated[int, typer.Option(min=1, help="Most texts, evenly spaced over the corpus.")] = 256,
    rounds: Rounds = 5,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, `mps` or `auto`.")] = "auto",
    batch_tokens: Annotated[
        int | None, typer.Option(min=512, help="A token budget instead of 32 texts in our micro-batches.")
    ] = None,
    seed_table: Annotated[bool, typer.Option("--seed-table", help="Also the seed document's table.")] = False,
    as_json: Json = False,
) -> None:
    """Our engine beside transformers, ONNX Runtime, OpenVINO and others that are installed.

    Example: `triagem bench engine --model bert-base --seed-table`
    """
    from triagem.cli.bench.corpus import texts as read
    from triagem.cli.bench.engine import run
    from triagem.cli.bench.model import measured
    from triagem.cli.bench.tables import print_engine

    sample = read(corpus, texts)
    with measured(model) as version, errors.status("measure") as status:
        report = run(
            version,
            sample,
            device=device,
            rounds=rounds,
            batch_tokens=batch_tokens,
            seed_table=seed_table,
            told=status.update,
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
    tickets: Annotated[
        int, typer.Option(min=1000, help="Tickets that are drained with an engine of no cost.")
    ] = 30_000,
    rounds: Rounds = 3,
    device: Annotated[str | None, typer.Option(help="As for `engine`; default: TRIAGEM_DEVICE.")] = None,
    as_json: Json = False,
) -> None:
    """The pipe around the engine: tickets/s beside celery-batches, put-to-row time, its share of the engine.

    Servers of its own in a temporary folder, erased afterwards; real commits.

    Example: `triagem bench pipe --model minilm`
    """
    from triagem.cli.bench.corpus import texts as read
    from triagem.cli.bench.ground import bench as opened
    from triagem.cli.bench.model import measured
    from triagem.cli.bench.pipe import run
    from triagem.cli.bench.tables import print_pipe
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # or its servers would outlive it
    if device:
        os.environ["TRIAGEM_DEVICE"] = device  # the worker reads it, too
    sample = read(corpus, 512)
    with measured(model) as version, opened(version) as on, errors.status("measure") as status:
        report = run(on, version, sample, tickets=tickets, rounds=rounds, told=status.update)
    if as_json:
        print_json(report)
    else:
        print_pipe(report)


@bench.command()
def reclassify(
    *,
    tickets: Annotated[int, typer.Option(min=1000, help="Stored tickets of a run.")] = 60_000,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """A run over stored tickets beside the pipe, and live tickets meanwhile, with an engine of no cost.

    Example: `triagem bench reclassify`
    """
    from triagem.cli.bench.corpus import texts as read
    from triagem.cli.bench.ground import measuring
    from triagem.cli.bench.reclassify import run

    with measuring() as (on, told):
        report = run(on, read(None, 512), tickets=tickets, rounds=rounds, told=told)
    if as_json:
        print_json(report)
        return
    console.print(
        f"{report.run_per_s:,.0f} stored tickets/s, {report.share_of_pipe:.0%} of the pipe's"
        f" {report.pipe_per_s:,.0f}\n"
        f"a live ticket's p95: idle {report.idle_p95_ms:.1f} ms, during a run {report.during_run_p95_ms:.1f} ms"
        f" ({report.times_idle:.1f} times)",
        highlight=False,
    )


@bench.command()
def gateway(
    *,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each load lasts in each round.")] = 10.0,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """Tickets over HTTP at 500 a second one by one, and 5,000 in batches, from 32 connections.

    Example: `triagem bench gateway`
    """
    from triagem.cli.bench.corpus import texts as read
    from triagem.cli.bench.gateway import run
    from triagem.cli.bench.report import machine_lines, table
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()
    with errors.status("measure") as status:
        report = run(read(None, 512), seconds=seconds, rounds=rounds, told=status.update)
    if as_json:
        print_json(report)
        return
    machine_lines(console, report.machine)
    names = ("requests/s asked", "answered", "tickets/s", "p50 ms", "p99 ms", "failed")
    rows = table(f"{report.connections} connections, {report.seconds:g} s each", "load", *names)
    for one in report.rows:
        rates = (f"{one.asked_per_s:,.0f}", f"{one.requests_per_s:,.0f}", f"{one.tickets_per_s:,.0f}")
        rows.add_row(one.load, *rates, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", str(one.failed))
    console.print(rows)
    console.print(
        f"p99 of one ticket against a route that does nothing: {report.p99_vs_nothing:.1f}x", highlight=False
    )


@bench.command(name="console")
def console_pages(
    *,
    tickets: Annotated[int, typer.Option(min=5000, help="Stored tickets.")] = 1_000_000,
    as_json: Json = False,
) -> None:
    """How long the server takes for each page of the console, with many tickets stored.

    Example: `triagem bench console --tickets 100000`
    """
    from triagem.cli.bench.console import run
    from triagem.cli.bench.ground import measuring
    from triagem.cli.bench.tables import print_console

    with measuring() as (on, told):
        report = run(on, tickets, told=told)
    if as_json:
        print_json(report)
    else:
        print_console(report)


@bench.command()
def metrics(
    *,
    tickets: Annotated[int, typer.Option(min=1000, help="Tickets that are drained in a round.")] = 60_000,
    rounds: Rounds = 4,
    as_json: Json = False,
) -> None:
    """What it costs a worker to be scraped by Prometheus: the pipe with an engine of no cost, scraped ten times a
    second and not at all.

    Example: `triagem bench metrics`
    """
    from triagem.cli.bench.corpus import texts as read
    from triagem.cli.bench.ground import measuring
    from triagem.cli.bench.scrape import run

    with measuring() as (on, told):
        report = run(on, read(None, 512), tickets=tickets, rounds=rounds, told=told)
    if as_json:
        print_json(report)
        return
    console.print(
        f"alone {report.alone_per_s.median:,.0f} tickets/s ±{report.alone_per_s.spread:.0%}, scraped"
        f" {report.scrapes_per_s:.1f} times a second {report.scraped_per_s.median:,.0f}"
        f" ±{report.scraped_per_s.spread:.0%} ({report.ratio:.1%})\n"
        f"a scrape takes {report.scrape_ms:.1f} ms meanwhile, its page has {report.page_bytes:,} bytes\n"
        f"scraped each 15 s: {report.cost:.2%} of the throughput by that loss, at most {report.cost_by_time:.2%} by"
        " that time",
        highlight=False,
    )


@bench.command()
def store(
    *,
    rows: Annotated[int, typer.Option(min=10_000, help="Stored tickets at the end.")] = 1_000_000,
    plans: Annotated[bool, typer.Option("--plans", help="Also how Postgres runs the queries.")] = False,
    as_json: Json = False,
) -> None:
    """The database as it grows: rows/s of the window's statement, of COPY, and the time of `show` and `results`.

    A server of its own in a temporary folder, erased afterwards; real commits.

    Example: `triagem bench store --rows 10000000`
    """
    from triagem.cli.bench.store import run
    from triagem.cli.bench.tables import print_store
    from triagem.cli.processes import exit_on_sigterm

    exit_on_sigterm()  # or its server would outlive it
    with errors.status("measure") as status:
        report = run(rows, told=status.update)
    if as_json:
        print_json(report)
    else:
        print_store(report, plans=plans)
