"""`triagem classify`: runs the inference engine on texts, without servers."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from triagem.cli.output import Format, FormatOption, JsonFlag, print_json, print_rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean


def classify(
    text: Annotated[str, typer.Argument(help="A text, a file with one text per line, or `-` for standard input.")],
    *,
    model: Annotated[str | None, typer.Option(help="Model version; default: the current one.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Maximum texts per micro-batch.")] = 32,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """Classify texts with the current model, without Redis or Postgres.

    Example: `triagem classify "minha internet caiu e quero trocar de plano"`
    """
    texts = [line for line in _texts(text) if line.strip()]
    if not texts:
        raise InvalidInput("the text is empty: give a text, a file name, or `-`")
    from triagem.engine.classify import classify, load
    from triagem.registry import Registry, RegistrySettings
    from triagem.worker.bands import decide_band
    from triagem.worker.settings import WorkerSettings

    registry = Registry(RegistrySettings().registry_url)
    loaded = load(registry.folder(model or registry.current().version))
    thresholds = WorkerSettings().thresholds(loaded.thresholds)
    probabilities = classify(loaded, [clean(line) for line in texts], batch_size=batch_size)
    rows: list[dict[str, Any]] = []
    for line, row in zip(texts, probabilities, strict=True):
        prediction = decide_band(row, loaded.labels, thresholds)
        rows.append(
            {
                "label": prediction.label,
                "confidence": prediction.confidence,
                "band": prediction.band.value,
                "text": line,
            }
        )
    if form is Format.JSON:
        print_json(rows)
    else:
        print_rows(rows, ("label", "confidence", "band", "text"), form)


def _texts(argument: str) -> list[str]:
    if argument == "-":
        return sys.stdin.read().splitlines()
    try:
        path = Path(argument)
        if path.is_file():
            return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput(f"{argument} is not UTF-8: convert the file") from None
    except (OSError, ValueError):
        pass  # not a file name: the text is too long, or has characters that file names cannot contain
    return [argument]
