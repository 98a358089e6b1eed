"""What the longer benchmarks say to people; programs read the reports themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triagem.cli.bench.report import machine_lines, rate, share, table, times
from triagem.cli.output import console

if TYPE_CHECKING:
    from triagem.cli.bench.console import Report as ConsoleReport
    from triagem.cli.bench.engine import Report as EngineReport
    from triagem.cli.bench.pipe import Report as PipeReport
    from triagem.cli.bench.store import Report as StoreReport


def print_pipe(report: PipeReport) -> None:
    """What `triagem bench pipe` prints."""
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


def print_store(report: StoreReport, *, plans: bool) -> None:
    """What `triagem bench store` prints."""
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


def print_engine(report: EngineReport) -> None:
    """What `triagem bench engine` prints."""
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


def print_console(report: ConsoleReport) -> None:
    """What `triagem bench console` prints."""
    machine_lines(console, report.machine)
    rows = table(f"the console with {report.tickets:,} tickets", "page", "median, ms", "slowest, ms", "KB")
    for one in report.pages:
        rows.add_row(one.page, f"{one.median_ms:.0f}", f"{one.slowest_ms:.0f}", f"{one.bytes / 1000:.0f}")
    console.print(rows)
