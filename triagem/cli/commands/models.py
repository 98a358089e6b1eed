"""`triagem models`: lists, shows, compares and promotes the model versions of the registry."""

from datetime import datetime
from functools import partial
from typing import Annotated, TypedDict

import typer

from triagem import servers
from triagem.cli.checks import without_model
from triagem.cli.commands.access import command_actor, record_or_note
from triagem.cli.model_reports import describe_decision, describe_version
from triagem.cli.options import ACTION_NEEDED, AsJson, FormatOption, JsonFlag
from triagem.cli.output import Format, as_mapping, print_answer, print_rows
from triagem.contracts.errors import InvalidInput, NoModel
from triagem.registry import RegistrySettings
from triagem.registry.decision import Reject, Rule
from triagem.registry.no_model import FIRST_STEP
from triagem.registry.promote import evaluate_version, promote_through_gate, roll_back
from triagem.registry.records import read_report

models = typer.Typer(no_args_is_help=True, help="Model versions: list, show, compare, promote, rollback, archive.")


class _VersionRow(TypedDict):
    version: str
    current: str
    training_started: datetime
    rows: int
    texts: int
    accuracy: float | None
    leaked: int
    labels: str
    base: str


@models.command("list")
def list_(*, form: FormatOption = Format.TABLE, _json: JsonFlag = False) -> None:
    """List all versions; `*` marks the current one, `archived` those without weights.

    Example: `triagem models list`
    """
    registry = servers.registry()
    current = registry.find_current()
    rows, archived = [], registry.archived()
    for version in registry.versions():
        manifest = registry.manifest(version)
        accuracy = manifest.metrics.get("accuracy")
        marked = manifest.data.leaked and form is Format.TABLE and accuracy is not None
        rows.append(
            {
                "version": version,
                "current": "*"
                if current and version == current.version
                else "archived"
                if version in archived
                else "",
                "training_started": manifest.created_at,
                "rows": manifest.data.rows,
                "texts": manifest.data.texts,
                "accuracy": f"{accuracy:.3f} (leaked)" if marked else accuracy,
                "leaked": manifest.data.leaked,
                "labels": ", ".join(manifest.labels),
                "base": manifest.base,
            }
        )
    empty = f"no versions in {RegistrySettings().registry_url}: {FIRST_STEP}"
    if not rows and without_model(empty) != empty:
        raise NoModel(without_model(empty))
    leaked = () if form is Format.TABLE else ("leaked",)
    columns = ("version", "current", "training_started", "rows", "texts", "accuracy", *leaked, "labels", "base")
    print_rows(rows, columns, form, empty=empty, types=[_VersionRow])


@models.command()
def show(
    version: Annotated[str, typer.Argument(help="e.g. v1.0.0")],
    *,
    as_json: AsJson = False,
) -> None:
    """Verify a version's files, then show its manifest and its evaluation.

    Example: `triagem models show v1.0.0`
    """
    registry = servers.registry()
    manifest, folder = registry.verify(version), registry.folder(version)
    report = read_report(registry, version)
    lines = describe_version(manifest, report, folder)
    print_answer({"manifest": manifest, "report": report}, lines, as_json=as_json)


_RULE = typer.Option(
    "--rule",
    help="`improve`: accuracy higher by at least 0.02, and significantly; `gain`: by more than 0.02, perhaps by "
    "chance; `non-inferior`: at most 0.01 lower.",
)
_ACCEPT_COST = typer.Option(
    "--accept-cost", help="Accept any cost per token; otherwise TRIAGEM_MAX_COST_RATIO limits it."
)


@models.command()
def compare(
    version: Annotated[str, typer.Argument(help="e.g. v1.1.0")],
    other: Annotated[str | None, typer.Argument(help="Default: the current version.")] = None,
    *,
    rule: Annotated[Rule, _RULE] = Rule.IMPROVE,
    accept_cost: Annotated[bool, _ACCEPT_COST] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the promotion gate would decide about a version. Changes nothing.

    The exit status is 3 if the gate rejects the version.

    Example: `triagem models compare v1.1.0 v1.0.0`
    """
    registry = servers.registry()
    current = registry.find_current()
    if version == (other or (current and current.version)):
        raise InvalidInput(f"{version} is {'the same' if other else 'the current'} version: name another one")
    decision = evaluate_version(registry, version, other, rule, accept_cost=accept_cost)
    print_answer(decision, describe_decision(decision), as_json=as_json)
    if isinstance(decision, Reject):
        raise typer.Exit(ACTION_NEEDED)


@models.command()
def promote(
    version: Annotated[str, typer.Argument(help="e.g. v1.1.0")],
    *,
    rule: Annotated[Rule, _RULE] = Rule.IMPROVE,
    accept_cost: Annotated[bool, _ACCEPT_COST] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the gate rejects it; recorded in the promotion log.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Required with --force; recorded in the promotion log.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a version current if it passes the gate. Running workers load it in the background, then switch.

    The gate compares both versions' predictions on test rows that neither was trained on. The exit status is 3 if the
    gate rejects the version.

    Example: `triagem models promote v1.1.0 --rule non-inferior`
    """
    if force != bool(reason and reason.strip()):
        raise typer.BadParameter("--force and --reason must be given together: the log records why")
    registry = servers.registry()
    if (current := registry.find_current()) and current.version == version:
        answer = {"decision": None, "current": current, "forced": False}
        print_answer(answer, [f"{version} is already current"], as_json=as_json)
        return
    announce = partial(record_or_note, "model.promote", version)
    decision, current = promote_through_gate(
        registry, version, rule, accept_cost=accept_cost, force=reason, announce=announce
    )
    lines = [*describe_decision(decision)]
    if current:
        forced = ", by force" if isinstance(decision, Reject) else ""
        lines.append(f"{current.version} is current (epoch {current.epoch}){forced}")
    else:
        lines.append(f"to promote it anyway: `triagem models promote {version} --force --reason …`")
    print_answer(as_mapping(decision) | {"current": current, "forced": force}, lines, as_json=as_json)
    if current is None:
        raise typer.Exit(ACTION_NEEDED)


@models.command()
def rollback(
    *, reason: Annotated[str, typer.Option(help="Recorded in the promotion log.")] = "", as_json: AsJson = False
) -> None:
    """Make the previous current version current again. Each repetition goes one version further back.

    Example: `triagem models rollback --reason "misses refunds"`
    """
    current = roll_back(servers.registry(), reason, partial(record_or_note, "model.rollback"))
    apply = f"stored results stay; to change them back: `triagem reclassify apply --model {current.version}`"
    print_answer(current, [f"{current.version} is current (epoch {current.epoch})", apply], as_json=as_json)


@models.command()
def archive(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be archived; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the weights of old versions that nothing needs. Manifest, report and predictions stay.

    Kept are the current, the previous and the proposed version, the TRIAGEM_KEEP_VERSIONS newest, and each version
    that results refer to, as long as their texts are stored. A training does the same when it ends.

    Example: `triagem models archive --dry-run`
    """
    from triagem.trainer.jobs.run import archive_old_versions, plan_archive

    registry = servers.registry()
    with servers.database() as database:
        decisions = (
            plan_archive(database, registry) if dry_run else archive_old_versions(database, registry, command_actor())
        )
    word = "would be archived" if dry_run else "archived"
    lines = [
        f"{decision.version}: {f'kept, {decision.kept_for}' if decision.kept_for else word}" for decision in decisions
    ]
    archived = [decision.version for decision in decisions if decision.kept_for is None]
    answer = {"archived": archived, "decisions": decisions, "dry_run": dry_run}
    print_answer(answer, lines or ["no versions: nothing to archive"], as_json=as_json)
