"""`triagem classify` and `triagem preflight`: run models on texts and exports, without servers."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from triagem import servers
from triagem.cli.options import AsJson, FormatOption, JsonFlag, ModelVersion
from triagem.cli.output import Format, errors, print_answer, print_lines, print_rows
from triagem.contracts.abstain import abstain_reason, unlearned_reason
from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import AbstainReason, BandDecision, Prediction
from triagem.contracts.text import clean
from triagem.engine.language import all_language_probabilities
from triagem.records.columns import joined, short_name, usual_text
from triagem.records.rows import BadLine, read_rows
from triagem.worker.bands import decide_band
from triagem.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from triagem.trainer.active.preflight import Expectation, Preflight

_FILE_NAME: Final = re.compile(r"\S+\.(?:txt|csv|tsv|json|jsonl|parquet)", re.IGNORECASE)


def classify(
    text: Annotated[
        str,
        typer.Argument(help="A text, a file with one text per line, CSV or JSON lines, or `-` for standard input."),
    ],
    *,
    model: ModelVersion = None,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """Classify texts with the current model, without Redis or Postgres.

    Example: `triagem classify "minha internet caiu e quero trocar de plano"`
    """
    texts = [line for line in _texts(text) if line.strip()]
    if not texts:
        raise InvalidInput("the text is empty: give a text, a file name, or `-`")
    from triagem.engine import classify as engine

    registry = servers.registry()
    loaded = engine.load(registry.folder(model or registry.current().version))
    labels, learned = loaded.manifest.labels, loaded.manifest.thresholds
    thresholds = WorkerSettings().thresholds(learned)
    cleaned = [clean(line) for line in texts]
    reasons = [
        abstain_reason(line, words) or unlearned_reason(words, tokens, languages, learned)
        for line, words, tokens, languages in zip(
            texts, cleaned, loaded.tokenize(cleaned), all_language_probabilities(cleaned), strict=True
        )
    ]
    rows = [
        _row(decide_band(row, labels, thresholds, abstain=reason is not None), reason, line)
        for row, reason, line in zip(engine.classify(loaded, cleaned), reasons, texts, strict=True)
    ]
    why = ("abstain_reason",) if any(reasons) or form is not Format.TABLE else ()
    print_rows(rows, ("label", "confidence", "band", *why, "text"), form, types=[Prediction])


def _row(decision: BandDecision, reason: AbstainReason | None, text: str) -> dict[str, Any]:
    row = {"label": decision.label, "confidence": decision.confidence, "band": decision.band.value}
    return row | {"abstain_reason": reason and reason.value, "text": text}


def _texts(argument: str) -> list[str]:
    if argument == "-":
        return _lines_or_rows(sys.stdin.read(), "standard input")
    try:
        path = Path(argument)
        if path.is_file():
            return _lines_or_rows(path.read_text(encoding="utf-8"), argument)
    except UnicodeDecodeError:
        raise InvalidInput(f"{argument} is not UTF-8: convert the file") from None
    except (OSError, ValueError):
        pass  # the text cannot be a file name: it is too long or has forbidden characters
    if _FILE_NAME.fullmatch(argument):
        raise InvalidInput(f"{argument}: no such file")
    return [argument]


def _lines_or_rows(content: str, name: str) -> list[str]:
    """The lines of a file, or the texts of its rows if it is CSV or JSON lines."""
    if not (name.endswith(".csv") or content.lstrip("\ufeff \r\n").startswith("{")):
        return content.splitlines()
    table = read_rows(io.StringIO(content, newline=""), format=None, name=name)
    columns = usual_text(table.columns)
    if not columns:
        names = ", ".join(map(short_name, table.columns))
        raise InvalidInput(f"{name}: its columns are {names}; name the column of the messages `text`")
    texts = []
    for record in table.records:
        if isinstance(record, BadLine):
            raise InvalidInput(f"{name}:{record.line}: {record.reason}")
        texts.append(str(joined([record.columns.get(column) for column in columns]) or ""))
    return texts


def preflight(
    export: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet with the texts of tickets.")],
    *,
    mapping: Annotated[str, typer.Option("--map", help="Columns, as prompt=subject+body.")] = "",
    label_column: Annotated[str, typer.Option(help="The column of the label, such as a queue or group.")] = "",
    label_map: Annotated[
        str, typer.Option(help="Each value's label, as Comercial=venda,N1=suporte; other rows are left out.")
    ] = "",
    by: Annotated[str, typer.Option(help="Show the accuracy by this column; default: the source or channel.")] = "",
    as_json: AsJson = False,
) -> None:
    """Estimate from an export how much could be automated, and how well. Nothing is stored or sent.

    With labels, a model fitted to the other texts predicts each text. Without a column of labels, the accuracy is
    estimated from the current version's confidences.

    Example: `triagem preflight closed.csv --label-column Grupo --label-map "Comercial=venda,N1=suporte"`
    """
    from triagem.trainer.active.export import rate_export

    with errors.status("predict each text"):
        figures = rate_export(
            export,
            servers.registry(),
            mapping=mapping,
            label_column=label_column,
            label_map=label_map,
            by=by,
            on_notes=lambda notes: print_lines(*(f"note: {note}" for note in notes), screen=errors),
        )
    print_answer(figures, _describe(figures, by or "source or channel"), as_json=as_json)


def _describe(figures: Preflight | Expectation, group: str) -> list[str]:
    """The figures, line by line; `group` names the column of the parts. Pure."""
    from triagem.trainer.active.preflight import MORE_LABELS, Expectation

    if isinstance(figures, Expectation):
        lines = [f"{figures.texts:,} texts without labels: expected accuracy {figures.accuracy:.1%}, by confidence"]
        lines.append(f"the current version would automate {figures.automated:.0%}")
        if figures.unlike is not None:
            lines.append(f"{figures.unlike:.0%} are unlike the texts of its training; 1% would be usual")
        return lines
    lines = []
    for part in (figures.accuracy, *figures.slices):
        interval = f"95% interval {part.low:.1%} to {part.high:.1%}"
        name = re.sub("^group ", lambda _: f"{group} ", part.name)
        lines.append(f"{name:<20} {part.texts:>6,} texts  accuracy {part.accuracy:.1%}, {interval}")
    for promise in figures.promises:
        precision, missing = f"{promise.precision:.0%} precision", promise.texts_missing
        right = f"{promise.right:,} of the {promise.texts:,} most confident texts are right"
        if promise.share is not None:
            lines.append(f"at {precision} you would automate {promise.share:.0%}")
        elif missing:
            more = f"about {missing:,} more labelled texts with the same accuracy would prove it"
            lines.append(f"{precision} is not proved: {right}; {more}")
        else:
            lines.append(f"{precision} is not reached: {right}")
    for row in figures.mistakes:
        excerpt = " ".join(row.text.split())[:80]
        lines.append(
            f"costly: {row.where} {row.label}, predicted {row.suggested_label} ({row.confidence:.0%}): {excerpt}"
        )
    gain = figures.more_labels - figures.accuracy.accuracy
    return [*lines, f"{MORE_LABELS} more labels would bring about {figures.more_labels:.1%} accuracy ({gain:+.1%})"]
