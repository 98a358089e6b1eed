"""`triagem bench`: side-by-side figures of this machine, as ratios of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, errors, print_json

if TYPE_CHECKING:
    from cli.bench.engine import Report

bench = typer.Typer(no_args_is_help=True, help="Figures of this machine, side by side: engine.")

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
