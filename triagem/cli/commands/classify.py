"""`triagem classify`: the engine alone, no servers."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from triagem.cli.output import Format, print_json, print_rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(classify)


def classify(
    text: Annotated[str, typer.Argument(help="A text; an existing file, one text a line; or `-`.")],
    *,
    model: Annotated[str | None, typer.Option(help="A model version; default: the current one.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Most texts in a micro-batch.")] = 32,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Classify texts with the current model, without Redis or Postgres.

    Example: `triagem classify "minha internet caiu e quero trocar de plano"`
    """
    texts = [line for line in _texts(text) if line.strip()]
    if not texts:
        raise InvalidInput("the text is empty")
    from triagem.engine.classify import classify, load
    from triagem.registry import Registry, RegistrySettings
    from triagem.worker.judge import judge
    from triagem.worker.settings import WorkerSettings

    registry = Registry(RegistrySettings().registry_url)
    loaded = load(registry.folder(model or registry.current().version))
    thresholds = WorkerSettings().thresholds(loaded.thresholds)
    rows: list[dict[str, Any]] = []
    for one, row in zip(texts, classify(loaded, [clean(one) for one in texts], batch_size=batch_size), strict=True):
        said = judge(row, loaded.labels, thresholds)
        rows.append({"label": said.label, "confidence": said.confidence, "band": said.band.value, "text": one})
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
        raise InvalidInput(f"{argument} is not UTF-8") from None
    except (OSError, ValueError):
        pass  # a text too long for a file name, or with characters that no file name has
    return [argument]
