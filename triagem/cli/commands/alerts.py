"""`triagem alerts` lists undelivered alerts, checks and tests rules; `triagem deliveries` replays or drops them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from triagem import servers
from triagem.cli.options import AsJson, FormatOption, Ids, JsonFlag, Yes, confirm, require_selection
from triagem.cli.output import Format, as_mapping, errors, print_answer, print_lines, print_rows
from triagem.contracts.errors import InvalidInput, NotConfigured
from triagem.db import Database
from triagem.db.outbox.alerts import ALERT_KINDS, LOW_CONFIDENCE, Alert, newest_alerts
from triagem.db.outbox.deliveries import (
    DeliveryState,
    DeliverySummary,
    deliveries_exist,
    drop_deliveries,
    list_deliveries,
    replay_deliveries,
)
from triagem.notify.alert_rendering import build_test_message
from triagem.notify.alert_rules import AlertRule, AlertRules, AlertSettings, AlertTarget, load
from triagem.notify.channels import channel_sender
from triagem.notify.request import Delivered

alerts = typer.Typer(
    no_args_is_help=True, help="Alerts on low-confidence tickets and system alerts: list, check rules, test."
)


class _Attempt(TypedDict):
    """The outcome of a test message."""

    channel: str
    delivered: bool
    error: str


_CONDITIONS = ("kinds", "labels", "sources", "bands", "under", "every_s")


@alerts.command("list")
def list_alerts(
    *,
    kind: Annotated[
        str | None,
        typer.Option(
            help="low-confidence, drift, retraining-due, training-ended, calibration, run-ended, unsure-share, "
            "error-rate, latency, memory, oldest-ticket, no-worker or registry."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of alerts.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List undelivered alerts, newest first.

    Example: `triagem alerts list --kind drift --format json`
    """
    if kind not in {None, *ALERT_KINDS}:
        raise InvalidInput(f"--kind {kind!r}: expected one of {', '.join(sorted(ALERT_KINDS))}")
    with servers.database() as database:
        rows = [as_mapping(alert) for alert in newest_alerts(database, undelivered=True, kind=kind, limit=limit)]
    columns: tuple[str, ...] = ("id", "kind", "about", "band", "confidence", "detail", "created_at")
    if form is not Format.JSON:
        rows = [row | {"summary": (row["detail"] or {}).get("summary", row["band"])} for row in rows]
        columns = ("created_at", "kind", "about", "confidence", "summary")
    print_rows(rows, columns, form, empty="no undelivered alerts", types=[Alert])


@alerts.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="File of alert rules; default: TRIAGEM_ALERTS_FILE.")] = None,
    *,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """Validate the alert rules, and show which channel receives which alerts. Sends nothing.

    Example: `triagem alerts check alerts.toml`
    """
    targets = _rules(file).targets
    rows = [
        {
            "rule": name.partition(".")[0],
            "channel": name.partition(".")[2],
            "type": target.channel.type,
            "language": target.language,
            **target.rule.model_dump(mode="json", include=set(_CONDITIONS)),
        }
        for name, target in targets.items()
    ]
    if form is Format.TABLE:
        rows = [{key: _shown(value) for key, value in row.items()} for row in rows]
        for row, target in zip(rows, targets.values(), strict=True):
            if LOW_CONFIDENCE not in target.rule.kinds:
                row["every_s"] = ""  # system alerts are sent at once
    columns = ("rule", "channel", "type", "language", *_CONDITIONS)
    print_rows(rows, columns, form, empty="no rules: no alert is sent", types=[AlertRule])
    print_lines(*_unknown_labels(targets), screen=errors)


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else value


def _unknown_labels(targets: Mapping[str, AlertTarget]) -> Iterator[str]:
    """A warning for each label in a rule's filter that the current model does not have."""
    known = servers.current_labels()
    rules = {name.partition(".")[0]: target.rule for name, target in targets.items()}
    for name, rule in rules.items():
        for label in rule.labels or () if known else ():
            if label not in known:
                near = get_close_matches(label.casefold(), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the current model has {', '.join(known)}"
                yield f"note: [rules.{name}] labels: {label!r} is not a label of the current model: {hint}"


@alerts.command("test")
def try_(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    *,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """Send a test message through each channel of a rule now. Exit status 1 if one is not delivered.

    Example: `triagem alerts test doubtful`
    """
    rules = _rules(None)
    targets = {name: target for name, target in rules.targets.items() if name.partition(".")[0] == rule}
    if not targets:
        names = ", ".join(dict.fromkeys(name.partition(".")[0] for name in rules.targets))
        raise InvalidInput(f"TRIAGEM_ALERTS_FILE has no rule {rule!r}; its rules: {names or 'none'}")
    send = channel_sender(rules.allowed_hosts)
    rows = list[_Attempt]()
    for name, target in targets.items():
        outcome = send(target.channel, build_test_message(rule, target.language, datetime.now(UTC)))
        error = "" if isinstance(outcome, Delivered) else outcome.reason
        rows.append({"channel": name.partition(".")[2], "delivered": not error, "error": error})
    print_rows(rows, ("channel", "delivered", "error"), form, types=[_Attempt])
    if not all(row["delivered"] for row in rows):
        raise typer.Exit(1)


def _rules(file: Path | None) -> AlertRules:
    if (path := file or AlertSettings().alerts_file) is None:
        raise NotConfigured(
            "TRIAGEM_ALERTS_FILE is not set: no alert is sent; `triagem alerts list` shows undelivered alerts"
        )
    return load(path)


_COLUMNS = ("id", "created_at", "target", "about", "state", "attempts", "next_at", "last_error")

deliveries = typer.Typer(no_args_is_help=True, help="Deliveries of results to CRMs and of alerts to people.")

_All = Annotated[bool, typer.Option("--all", help="All failed deliveries.")]
_Target = Annotated[
    str | None,
    typer.Option(help="A table of the CRM file, `shop.callback`, or a rule and its channel, `doubtful.team`."),
]


@deliveries.command("list")
def list_all(
    *,
    state: Annotated[
        DeliveryState | None, typer.Option(metavar="STATE", help=f"One of {', '.join(DeliveryState)}.")
    ] = None,
    target: _Target = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of deliveries.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List deliveries, newest first; `last_error` says why the last attempt failed.

    Example: `triagem deliveries list --state failed`
    """
    with servers.database() as database:
        listed = list_deliveries(database, state=state, target=target, limit=limit)
    print_rows(listed, _COLUMNS, form, empty="no deliveries", types=[DeliverySummary])


@deliveries.command()
def replay(ids: Ids = None, *, every: _All = False, target: _Target = None, as_json: AsJson = False) -> None:
    """Retry failed deliveries. A delivery keeps its id, so a receiver that has seen it can ignore it.

    Example: `triagem deliveries replay --all --target shop.callback`
    """
    require_selection(ids, every, target=target)
    with servers.database() as database:
        _require_deliveries(database, ids)
        replayed = replay_deliveries(database, ids=ids or None, target=target)
    _print_count("replayed", replayed, ids, as_json=as_json)


@deliveries.command()
def drop(
    ids: Ids = None,
    *,
    every: _All = False,
    target: _Target = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up failed deliveries. Their results and alerts stay; later results of the same tickets are still sent.

    Example: `triagem deliveries drop 12 13 --yes`
    """
    require_selection(ids, every, target=target)
    with servers.database() as database:
        _require_deliveries(database, ids)
        confirm(f"Drop {'all' if every else len(set(ids or ()))} failed deliveries?", yes=yes)
        dropped = drop_deliveries(database, ids=ids or None, target=target)
    _print_count("dropped", dropped, ids, as_json=as_json)


def _require_deliveries(database: Database, ids: list[int] | None) -> None:
    if ids and not deliveries_exist(database, ids):
        raise InvalidInput(f"there is no delivery {' '.join(map(str, ids[:20]))}: see `triagem deliveries list`")


def _print_count(action: str, count: int, ids: list[int] | None, *, as_json: bool) -> None:
    skipped = len(set(ids)) - count if ids else 0
    lines = [f"{skipped:,} skipped: not found, not failed, or already dropped"] if skipped else []
    print_answer({action: count}, [f"{count:,} {action}", *lines], as_json=as_json)
