"""`triagem models`: lists and shows the model versions of the registry."""

from typing import Annotated

import typer

from triagem.cli.commands import promote
from triagem.cli.output import Format, console, print_json, print_rows
from triagem.contracts.errors import NoModel
from triagem.registry import Registry, RegistrySettings

models = typer.Typer(no_args_is_help=True, help="Model versions: list, show, compare, promote, rollback.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    promote.register(models)
    app.add_typer(models, name="models")


def _registry() -> Registry:
    return Registry(RegistrySettings().registry_url)


@models.command("list")
def list_(*, form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE) -> None:
    """List all versions; `*` marks the current one.

    Example: `triagem models list`
    """
    registry = _registry()
    try:
        current = registry.current().version
    except NoModel:
        current = None
    rows = []
    for version in registry.versions():
        manifest = registry.manifest(version)
        rows.append(
            {
                "version": version,
                "current": "*" if version == current else "",
                "trained": manifest.created_at,
                "rows": manifest.data.rows,
                "accuracy": manifest.metrics.get("accuracy"),
                "labels": ", ".join(manifest.labels),
                "base": manifest.base,
            }
        )
    print_rows(rows, ("version", "current", "trained", "rows", "accuracy", "labels", "base"), form)


@models.command()
def show(
    version: Annotated[str, typer.Argument(help="e.g. v1.0.0")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print manifest and report as JSON.")] = False,
) -> None:
    """Verify a version's files, then show its manifest and its evaluation.

    Example: `triagem models show v1.0.0`
    """
    from triagem.cli.version_report import load_report, print_version

    registry = _registry()
    manifest, folder = registry.verify(version), registry.folder(version)
    report = load_report(folder)
    if as_json:
        print_json({"manifest": manifest, "report": report})
    else:
        print_version(manifest, report, folder, console)
