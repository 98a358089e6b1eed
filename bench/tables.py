"""Print the results of the longer benchmarks as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.formatting import format_rate, format_ratio, format_share, new_table, print_machine
from triagem.cli.output import console

if TYPE_CHECKING:
    from bench.cold_start import ColdStartReport
    from bench.console import ConsoleBenchmark
    from bench.engine import EngineBenchmark
    from bench.pipeline import PipelineBenchmark
    from bench.store import StoreBenchmark


def print_pipe(report: PipelineBenchmark) -> None:
    """Print the results of `python -m bench pipe`."""
    print_machine(console, report.machine)
    rows = new_table("the pipeline", "metric", "measured")
    rows.add_row(f"`triagem enqueue`, {report.tickets:,} tickets, tickets/s", f"{report.enqueued_per_s:,.0f}")
    rows.add_row("`triagem enqueue`, 90,000 tickets, tickets/s", f"{report.enqueued_large_per_s:,.0f}")
    rows.add_row("one worker, no-op engine, tickets/s", format_rate(report.noop_engine_per_s))
    for stage, cpu_us in report.noop_cpu_us.items():
        rows.add_row(f"CPU µs per ticket: {stage}", f"{cpu_us:.1f}")
    rows.add_row(
        "celery-batches, the same statement, tickets/s", format_rate(report.celery_batches_per_s) or "not installed"
    )
    if report.ratio_vs_celery_batches:
        rows.add_row("against celery-batches", f"{report.ratio_vs_celery_batches:.1f}x")
    rows.add_row("put to row, idle, no-op engine, ms", format_rate(report.idle_ms))
    rows.add_row(
        "put to row, 20,000 bulk waiting, 20 ms per micro-batch, ms", format_rate(report.live_behind_bulk_ms)
    )
    rows.add_row("wait behind bulk, in micro-batches", f"{report.live_wait_batches:.1f}")
    rows.add_row("the real engine alone, texts/s", format_rate(report.engine_alone_per_s))
    rows.add_row("the real engine in the pipeline, tickets/s", format_rate(report.with_engine_per_s))
    rows.add_row("share of the engine", format_share(report.share_of_engine))
    if report.one_thread_workers_per_s:
        name = f"{report.one_thread_workers} workers with one thread each, tickets/s"
        rows.add_row(name, format_rate(report.one_thread_workers_per_s))
        rows.add_row("share of the engine", format_share(report.one_thread_share_of_engine))
    console.print(rows)


def print_store(report: StoreBenchmark, *, plans: bool) -> None:
    """Print the results of `python -m bench store`."""
    names = ("stored rows", "window, rows/s", "COPY, rows/s", "show, ms", "a page of results, ms")
    rows = new_table("the database as it grows", *names)
    for step in report.steps:
        rates = (
            f"{step.window_per_s:,.0f}",
            f"{step.copy_per_s:,.0f}",
            f"{step.show_ms:.2f}",
            f"{step.results_ms:.2f}",
        )
        rows.add_row(f"{step.rows:,}", *rates)
    console.print(rows)
    if plans:
        for name, lines in report.plans.items():
            console.print(name, style="bold")
            console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def print_engine(report: EngineBenchmark) -> None:
    """Print the results of `python -m bench engine`."""
    print_machine(console, report.machine)
    rows = new_table(
        f"{report.model}: {report.texts} texts of {report.mean_tokens:.0f} tokens, micro-batches of {report.batch}",
        *("engine", "texts/s", "against the pipeline", "same labels", "largest difference", ""),
    )
    for row in report.rows:
        difference = "" if row.max_difference is None else f"{row.max_difference:.4f}"
        cells = (
            format_rate(row.rate),
            format_ratio(row.ratio_vs_hf_pipeline),
            format_share(row.label_agreement),
            difference,
            row.note,
        )
        rows.add_row(row.name, *cells, style="bold" if row.name.startswith("triagem") else None)
    console.print(rows)
    if not report.trained:
        console.print("random weights: the labels mean nothing here, only the differences do", highlight=False)
    memory = "not measured" if report.peak_memory_mib is None else f"{report.peak_memory_mib:,.0f} MiB"
    gpu = "" if report.gpu_memory_mib is None else f", GPU {report.gpu_memory_mib:,.0f} MiB with all contenders"
    console.print(
        f"the model alone {format_rate(report.model_alone)} texts/s, "
        f"tokenization alone {format_rate(report.tokenizing)} texts/s\n"
        f"{format_share(report.share_of_matmul_peak)} of the machine's peak rate of matrix products "
        f"({format_rate(report.matmul_peak_gflops)} GFLOP/s in {report.precision} at the same shapes)\n"
        f"peak memory of a process with this engine alone: {memory}{gpu}",
        highlight=False,
    )
    if report.spec_table:
        spec = new_table(
            "the original specification's table", "configuration", "engine", "texts/s", "ms per text", "specified"
        )
        for entry in report.spec_table:
            measured = (
                f"{entry['texts_per_s']:,.1f}",
                f"{entry['ms_per_text']:,.2f}",
                f"{entry['spec_texts_per_s']} texts/s",
            )
            spec.add_row(str(entry["configuration"]), str(entry["engine"]), *measured)
        console.print(spec)


def print_console(report: ConsoleBenchmark) -> None:
    """Print the results of `python -m bench console`."""
    print_machine(console, report.machine)
    rows = new_table(f"the console with {report.tickets:,} tickets", "page", "median, ms", "slowest, ms", "KB")
    for page in report.pages:
        rows.add_row(page.page, f"{page.median_ms:.0f}", f"{page.slowest_ms:.0f}", f"{page.bytes / 1000:.0f}")
    console.print(rows)


def print_cold_start(report: ColdStartReport) -> None:
    """Print the results of `python -m bench cold-start`."""
    stages = list(report.companies[0].chosen)
    names = [f"{answers} answers (random)" for answers in stages]
    rows = new_table(
        f"macro-F1, {report.starts} starts, base {report.base}", "company", *names, "50, one in ten wrong"
    )
    for row in report.companies:
        cells = (f"{row.chosen[answers]:.3f} ({row.at_random[answers]:.3f})" for answers in stages)
        rows.add_row(row.company, *cells, f"{row.wrong_answers:.3f}")
    console.print(rows)
    for gain in report.gains:
        console.print(
            f"after {gain.answers} answers, {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) over random choice"
            ", without the samples",
            highlight=False,
        )
    rows = new_table("4 % sales", "company", "macro-F1 after 100", "all labels", "sales by 50", "sales in the pool")
    for rare in report.rare:
        rows.add_row(
            rare.company, f"{rare.macro_f1:.3f}", f"{rare.all_labels:.3f}", f"{rare.sales:.1f}", str(rare.in_pool)
        )
    console.print(rows)
    console.print(
        f"estimate at 50 answers, {report.progress_starts} starts: the 90 % interval covers the truth in "
        f"{report.coverage:.0%}; bias {report.progress_bias:+.3f}, mean error {report.progress_error:.3f}",
        highlight=False,
    )
    rows = new_table("goals", "figure", "value", "at least")
    for goal in report.goals:
        rows.add_row(goal.figure, f"{goal.value:.3f}", f"{goal.goal:g}")
    console.print(rows)
