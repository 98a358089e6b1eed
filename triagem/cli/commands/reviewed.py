"""`triagem review accuracy` and `export`: what follows from reviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, console, errors, print_json, print_rows, progress, when
from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, Rows
from triagem.registry import Registry, RegistrySettings

if TYPE_CHECKING:
    from triagem.db.reviews import Estimate, Stratum


_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class FileFormat(StrEnum):
    """How training data is written."""

    JSONL = "jsonl"
    CSV = "csv"


def accuracy(
    *,
    model: Annotated[str | None, typer.Option(help="The model version; default: the current one.")] = None,
    since: Annotated[str | None, typer.Option(help="Of texts received at or after: `2026-11-02`; UTC.")] = None,
    as_json: _Json = False,
) -> None:
    """How often the model is right on all texts, by the verdicts on a few; docs/training.md says how.

    Example: `triagem review accuracy --since 2026-11-01`
    """
    version, begin = model or Registry(RegistrySettings().registry_url).current().version, when(since, "--since")
    with servers.database() as database:
        from triagem.db.reviews import accuracy

        found = accuracy(database, version, begin)
    if as_json:
        print_json({"model_version": version, "since": begin, "accuracy": found})
    elif found is None:
        console.print(f"{version}: not known, no text drawn by lot has a verdict: `triagem review`", highlight=False)
    else:
        _print(version, found)


def export(
    file: Annotated[str, typer.Argument(help="The file to write; `-` is standard output.")],
    *,
    since: Annotated[str | None, typer.Option(help="Reviewed at or after: `2026-11-02` or a time; UTC.")] = None,
    form: Annotated[FileFormat, typer.Option("--format", help="How to write.")] = FileFormat.JSONL,
    as_json: _Json = False,
) -> None:
    """Write what people agree on as training data: `prompt`, `completion`, and how each text was drawn.

    Left out, and counted: texts of any version's test set, unclear ones, those on which no majority agrees, and those
    whose text was changed or purged. Never calibrate on these rows unweighted: most were asked about for their doubt.

    Example: `triagem review export data/reviews.jsonl --since 2026-11-01`
    """
    if as_json and file == "-":
        raise typer.BadParameter("standard output has the rows", param_hint="--json")
    begin, (test, unknown) = when(since, "--since"), _test_rows()
    counts = Counter[str]()
    with servers.database() as database, progress(errors) as bar:
        from triagem.cli.training_file import write
        from triagem.db.labelled import Example, LeftOut, labelled

        task = bar.add_task("texts", total=None)

        def kept() -> Iterator[Example]:
            for one in labelled(database, since=begin, test=test):
                bar.advance(task)
                counts["exported" if isinstance(one, Example) else one] += 1
                if isinstance(one, Example):
                    yield one

        write(file, kept(), as_csv=form is FileFormat.CSV)
        left_out = {str(reason): counts[reason] for reason in LeftOut}
    if as_json:
        print_json({"exported": counts["exported"], "left_out": left_out, "versions_without_rows": unknown})
        return
    why = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in left_out.items())
    errors.print(f"{counts['exported']:,} exported; left out: {why}", highlight=False)
    if unknown:
        errors.print(
            f"not known, which texts {', '.join(unknown)} is tested on: it has no {ROWS_FILE}", highlight=False
        )


def _test_rows() -> tuple[set[bytes], list[str]]:
    """The texts that any registered version is tested on, and the versions that do not say which these are."""
    registry = Registry(RegistrySettings().registry_url)
    registry.current()  # of an empty registry nothing is known: a wrong TRIAGEM_REGISTRY_URL is no leave to export
    test, unknown = set[bytes](), list[str]()
    for version in registry.versions():
        path = registry.folder(version) / ROWS_FILE
        try:
            test.update(map(bytes.fromhex, Rows.model_validate_json(path.read_bytes()).test))
        except FileNotFoundError:
            unknown.append(version)
        except (OSError, ValueError) as error:
            raise ModelCorrupt(f"{path} cannot be read ({type(error).__name__}): restore it") from error
    return test, unknown


def _print(version: str, found: Estimate) -> None:
    console.print(
        f"{version}: {found.value:.1%} right on {found.texts:,} texts,"
        f" 95 % interval {found.low:.1%} to {found.high:.1%}\n",
        highlight=False,
    )
    rows = [
        as_mapping(stratum)
        | {"accuracy": f"{stratum.accuracy:.1%}" if stratum.reviews else "not known", "interval": _interval(stratum)}
        for stratum in found.strata
    ]
    print_rows(rows, ("name", "texts", "reviews", "unclear", "accuracy", "interval"), Format.TABLE)
    if found.uncounted:
        console.print(
            f"\n{found.uncounted:,} more verdicts do not count: they were asked for by doubt, or by nobody",
            highlight=False,
        )


def _interval(stratum: Stratum) -> str:
    return f"{stratum.low:.1%} to {stratum.high:.1%}"
