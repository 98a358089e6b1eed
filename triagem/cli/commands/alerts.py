"""`triagem alerts`: what is still to be told to a person, and the rules of who is told what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, print_rows
from triagem.contracts.errors import InvalidInput, NotConfigured

if TYPE_CHECKING:
    from triagem.alerts.rules_file import Rules

alerts = typer.Typer(no_args_is_help=True, help="What a person should know: doubtful tickets, drift, retraining.")

_Form = Annotated[Format, typer.Option("--format", help="How to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(alerts, name="alerts")


@alerts.command("list")
def list_(
    *,
    kind: Annotated[
        str | None, typer.Option(help="low-confidence, drift, retraining-due, run-ended, or a window alert's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    form: _Form = Format.TABLE,
) -> None:
    """List alerts that were not delivered yet, newest first.

    Example: `triagem alerts list --kind drift --format json`
    """
    from triagem.db.alerts import undelivered

    with servers.database() as database:
        rows = [as_mapping(one) for one in undelivered(database, kind=kind, limit=limit)]
    if form is Format.JSON:
        print_rows(rows, ("id", "kind", "about", "band", "confidence", "detail", "created_at"), form)
        return
    for row in rows:
        row["says"] = (row["detail"] or {}).get("says", row["band"])
    print_rows(rows, ("created_at", "kind", "about", "confidence", "says"), form)


@alerts.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="Rules; default: TRIAGEM_ALERTS_FILE.")] = None,
    *,
    form: _Form = Format.TABLE,
) -> None:
    """Check the rules, and show who is told what. Sends nothing.

    Example: `triagem alerts check alerts.toml`
    """
    rows = [
        {
            "rule": name.partition(".")[0],
            "channel": name.partition(".")[2],
            "type": one.channel.type,
            "language": one.language,
            **one.rule.model_dump(mode="json", include={"kinds", "labels", "sources", "bands", "under", "every_s"}),
        }
        for name, one in _rules(file).targets.items()
    ]
    columns = ("rule", "channel", "type", "language", "kinds", "labels", "sources", "bands", "under", "every_s")
    if form is Format.TABLE:
        rows = [{key: ", ".join(it) if isinstance(it, list) else it for key, it in row.items()} for row in rows]
    print_rows(rows, columns, form)


@alerts.command("test")
def try_(
    rule: Annotated[str, typer.Argument(help="A rule's name.")],
    *,
    form: _Form = Format.TABLE,
) -> None:
    """Send a test message through each channel of a rule, at once; exit status 1 if one does not take it.

    Example: `triagem alerts test doubtful`
    """
    from datetime import UTC, datetime

    from triagem.alerts.message import trial
    from triagem.alerts.tell import sender
    from triagem.outgoing import Delivered
    from triagem.outgoing.send import Sender

    rules = _rules(None)
    targets = {name: one for name, one in rules.targets.items() if name.partition(".")[0] == rule}
    if not targets:
        names = ", ".join(dict.fromkeys(name.partition(".")[0] for name in rules.targets))
        raise InvalidInput(f"TRIAGEM_ALERTS_FILE has no rule {rule!r}; it has: {names or 'none'}")
    send = sender(Sender(rules.allowed_hosts).send)
    rows = []
    for name, one in targets.items():
        verdict = send(one.channel, trial(rule, one.language, datetime.now(UTC)))
        why = "" if isinstance(verdict, Delivered) else verdict.reason
        rows.append({"channel": name.partition(".")[2], "delivered": not why, "why": why})
    print_rows(rows, ("channel", "delivered", "why"), form)
    if not all(row["delivered"] for row in rows):
        raise typer.Exit(1)


def _rules(file: Path | None) -> "Rules":
    from triagem.alerts.rules_file import AlertSettings, from_environment, load

    if file is None and AlertSettings().alerts_file is None:
        raise NotConfigured("TRIAGEM_ALERTS_FILE is not set: nobody is told, `triagem alerts list` shows what waits")
    return load(file) if file else from_environment()
