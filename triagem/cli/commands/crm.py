"""`triagem crm`: checks the file of the CRMs."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.options import AsJson
from triagem.cli.output import print_answer
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean
from triagem.producer.crm import CrmConfig, CrmSettings, Source, Webhook, load_crm_file
from triagem.producer.crm.check import PayloadCheck, check_payload, describe_source

crm = typer.Typer(no_args_is_help=True, help="The CRM file: which CRMs send webhooks and receive results.")


@crm.callback()
def main() -> None:
    pass  # keeps `check` a subcommand


@crm.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file; default: TRIAGEM_CRM_FILE.")] = None,
    *,
    source: Annotated[
        str | None, typer.Option(help="The source that receives --body; default: the only one in the file.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="A webhook's body, saved exactly as the CRM sends it; `-` for standard input.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header of the webhook, as `Name: value`; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validate the CRM file, and show the ticket that a webhook becomes or how to fix it. Sends and stores nothing.

    The exit status is 1 if the file is invalid, or if the webhook would be refused or become a dead letter.

    Example: `triagem crm check crm.toml --source shop --body payload.json`
    """
    path = file or CrmSettings().crm_file
    if path is None:
        raise InvalidInput("no file: name one, or set TRIAGEM_CRM_FILE")
    config = load_crm_file(path)
    sources = [describe_source(known) for known in config.sources.values()]
    checked = None
    if body is not None:
        content = sys.stdin.buffer.read() if str(body) == "-" else _read(body)
        webhook = Webhook(content, dict(_parse_header(line) for line in header or ()))
        receiver = _find(config, source)
        labels = servers.current_labels() if receiver.verdict else ()
        checked = check_payload(webhook, receiver, datetime.now(UTC), labels)
    lines = _describe_sources(path, sources) if checked is None else _describe_payload(checked)
    print_answer({"file": str(path), "sources": sources, "payload": checked}, lines, as_json=as_json)
    if checked is not None and checked.outcome in {"refused", "dead-lettered"}:
        raise typer.Exit(1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise InvalidInput(f"--header {line!r}: expected `Name: value`")
    return name.strip(), value.strip()


def _find(config: CrmConfig, name: str | None) -> Source:
    if name is None and len(config.sources) == 1:
        return next(iter(config.sources.values()))
    if name is None or name not in config.sources:
        known = ", ".join(config.sources) or "none"
        raise InvalidInput(f"--source {name or 'is missing'}: the file has these sources: {known}")
    return config.sources[name]


def _describe_sources(path: Path, sources: list[dict[str, str]]) -> Iterator[str]:
    if not sources:
        yield f"{path} has no source yet: add a table for each CRM"
        return
    yield f"{path} is valid, sources: {len(sources)}"
    for source in sources:
        yield f"\n{source['name']}  (adapter {source['adapter']})"
        for title, key in (("receives at", "path"), ("sender", "sender"), ("results", "results")):
            yield f"  {title:<12} {source[key]}"
    yield f"\nTry a webhook: triagem crm check {path} --source {sources[0]['name']} --body payload.json"


_SUMMARIES = {
    "accepted": "accepted",
    "ignored": "ignored, the gateway answers 200",
    "dead-lettered": "not read: it becomes a dead letter",
    "refused": "refused",
}


def _describe_payload(checked: PayloadCheck) -> Iterator[str]:
    count = f": {len(checked.tickets):,} tickets" if len(checked.tickets) > 1 else ""
    count = ": a person's correction of a label" if checked.verdicts and not checked.tickets else count
    warnings = checked.advice if checked.outcome == "accepted" else []
    yield _SUMMARIES[checked.outcome] + count + (", but check this first:" if warnings else "")
    for warning in warnings:
        yield f"  {warning}"
    if checked.reason:
        yield f"  reason       {checked.reason}"
    yield f"  sender       {checked.sender}"
    for verdict in checked.verdicts[:3]:
        yield f"  correction   {verdict}"
    for ticket in checked.tickets[:3]:
        yield ""
        for name, value in ticket.items():
            for key, inner in value.items() if isinstance(value, dict) else ((None, value),):
                yield f"  {f'{name}.{key}' if key else name:<18} {_short(inner)}"
            if name == "text":
                yield f"  {'as the model reads':<18} {_short(clean(value))}"
    if checked.fields:
        yield "\nFields of the first record:"
    for field in checked.fields:
        yield f"  {field.name:<18} {field.expression}  →  {field.problem or _short(field.value)}"
    if checked.advice and not warnings:
        yield "\nWhat to do:"
        for advice in checked.advice:
            yield f"  {advice}"


def _short(value: object) -> str:
    text = " ⏎ ".join(str(value).splitlines())
    return text if len(text) <= 120 else f"{text[:119]}…"
