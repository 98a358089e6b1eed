"""`triagem bench`: side-by-side figures of this machine, as ratios of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, errors, print_json

if TYPE_CHECKING:
    from cli.bench import pipe as pipe_bench
    from cli.bench import store as store_bench
    from cli.bench.engine import Report

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
    from cli.bench.corpus import texts as read
    from cli.bench.engine import run
    from cli.bench.model import measured

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
        _print_engine(report)


@bench.command()
def pipe(
    *,
    model: Model = None,
    corpus: Corpus = None,
    tickets: Annotated[
        int, typer.Option(min=1000, help="Tickets that are drained with an engine of no cost.")
    ] = 30_000,
    rounds: Rounds = 3,
    as_json: Json = False,
) -> None:
    """The pipe around the engine: tickets/s beside celery-batches, put-to-row time, its share of the engine.

    Servers of its own in a temporary folder, erased afterwards; real commits.

    Example: `triagem bench pipe --model minilm`
    """
    from cli.bench.corpus import texts as read
    from cli.bench.ground import bench as opened
    from cli.bench.model import measured
    from cli.bench.pipe import run
    from cli.processes import exit_on_sigterm

    exit_on_sigterm()  # or its servers would outlive it
    sample = read(corpus, 512)
    with measured(model) as version, opened(version) as on, errors.status("measure") as status:
        report = run(on, version, sample, tickets=tickets, rounds=rounds, told=status.update)
    if as_json:
        print_json(report)
    else:
        _print_pipe(report)


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
    from cli.bench.corpus import texts as read
    from cli.bench.ground import bench as opened
    from cli.bench.model import measured
    from cli.bench.reclassify import run
    from cli.processes import exit_on_sigterm

    exit_on_sigterm()
    with measured("minilm") as version, opened(version) as on, errors.status("measure") as status:
        report = run(on, read(None, 512), tickets=tickets, rounds=rounds, told=status.update)
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
    from cli.bench.corpus import texts as read
    from cli.bench.gateway import run
    from cli.bench.report import machine_lines, table
    from cli.processes import exit_on_sigterm

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
    from cli.bench.corpus import texts as read
    from cli.bench.ground import bench as opened
    from cli.bench.model import measured
    from cli.bench.scrape import run
    from cli.processes import exit_on_sigterm

    exit_on_sigterm()
    with measured("minilm") as version, opened(version) as on, errors.status("measure") as status:
        report = run(on, read(None, 512), tickets=tickets, rounds=rounds, told=status.update)
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
    from cli.bench.store import run
    from cli.processes import exit_on_sigterm

    exit_on_sigterm()  # or its server would outlive it
    with errors.status("measure") as status:
        report = run(rows, told=status.update)
    if as_json:
        print_json(report)
    else:
        _print_store(report, plans=plans)


def _print_pipe(report: pipe_bench.Report) -> None:
    from cli.bench.report import machine_lines, rate, share, table

    machine_lines(console, report.machine)
    rows = table("the pipe", "what", "measured")
    rows.add_row(f"`triagem enqueue`, {report.tickets:,} tickets, tickets/s", f"{report.enqueued_per_s:,.0f}")
    rows.add_row("`triagem enqueue`, 90,000 tickets, tickets/s", f"{report.enqueued_large_per_s:,.0f}")
    rows.add_row("one worker, engine of no cost, tickets/s", rate(report.instant_engine_per_s))
    rows.add_row(
        "celery-batches, the same statement, tickets/s", rate(report.celery_batches_per_s) or "not installed"
    )
    if report.ratio_vs_celery_batches:
        rows.add_row("against celery-batches", f"{report.ratio_vs_celery_batches:.1f}x")
    rows.add_row("put to row, idle, engine of no cost, ms", rate(report.idle_ms))
    rows.add_row("put to row, 20,000 bulk waiting, 20 ms a micro-batch, ms", rate(report.live_behind_bulk_ms))
    rows.add_row("waited behind bulk, in micro-batches", f"{report.live_wait_batches:.1f}")
    rows.add_row("the real engine alone, texts/s", rate(report.engine_alone_per_s))
    rows.add_row("the real engine in the pipe, tickets/s", rate(report.with_engine_per_s))
    rows.add_row("share of the engine", share(report.share_of_engine))
    console.print(rows)


def _print_store(report: store_bench.Report, *, plans: bool) -> None:
    from cli.bench.report import table

    names = ("stored rows", "window, rows/s", "COPY, rows/s", "show, ms", "a page of results, ms")
    rows = table("the database as it grows", *names)
    for one in report.steps:
        rates = (f"{one.window_per_s:,.0f}", f"{one.copy_per_s:,.0f}", f"{one.show_ms:.2f}", f"{one.results_ms:.2f}")
        rows.add_row(f"{one.rows:,}", *rates)
    console.print(rows)
    if plans:
        for name, lines in report.plans.items():
            console.print(name, style="bold")
            console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _print_engine(report: Report) -> None:
    from cli.bench.report import machine_lines, rate, share, table, times

    machine_lines(console, report.machine)
    rows = table(
        f"{report.model}: {report.texts} texts of {report.mean_tokens:.0f} tokens, micro-batches of {report.batch}",
        *("engine", "texts/s", "against the pipeline", "same labels", "largest difference", ""),
    )
    for row in report.rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.4f}"
        ours = (rate(row.rate), times(row.ratio_vs_hf_pipeline), share(row.label_agreement), difference, row.note)
        rows.add_row(row.name, *ours, style="bold" if row.name.startswith("triagem") else None)
    console.print(rows)
    if not report.trained:
        console.print("weights from a seed: the labels mean nothing here, only the differences do", highlight=False)
    memory = "not measured" if report.peak_memory_mib is None else f"{report.peak_memory_mib:,.0f} MiB"
    gpu = "" if report.gpu_memory_mib is None else f", GPU {report.gpu_memory_mib:,.0f} MiB with all contenders"
    console.print(
        f"the model alone {rate(report.model_alone)} texts/s, tokenising alone {rate(report.tokenizing)} texts/s\n"
        f"{share(report.share_of_matmul_peak)} of the machine's own rate of matrix products "
        f"({rate(report.matmul_peak_gflops)} GFLOP/s in {report.precision} at the same shapes)\n"
        f"peak memory of a process with this engine alone: {memory}{gpu}",
        highlight=False,
    )
    if report.seed_table:
        seed = table("the seed document's table", "configuration", "engine", "texts/s", "ms a text", "the seed says")
        for one in report.seed_table:
            measured = (
                f"{one['texts_per_s']:,.1f}",
                f"{one['ms_per_text']:,.2f}",
                f"{one['seed_texts_per_s']} texts/s",
            )
            seed.add_row(str(one["configuration"]), str(one["who"]), *measured)
        console.print(seed)
