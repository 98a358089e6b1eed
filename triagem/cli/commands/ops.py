"""`triagem ops`: a worker for what is done beside the pipe, without torch."""

from typing import Annotated

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ops)


def ops(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 if the worker of TRIAGEM_OPS_HEARTBEAT_FILE lives.")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Send results back to CRMs and alerts to people; look daily for drift, and whether retraining is due; until
    SIGTERM.

    `triagem beat` says when. TRIAGEM_CRM_FILE says where results go, TRIAGEM_ALERTS_FILE who is told what; without
    them they go nowhere.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem ops`
    """
    from triagem.worker.settings import OpsSettings

    settings = OpsSettings()
    if check:
        from triagem.cli.commands.worker import say_alive

        say_alive("TRIAGEM_OPS_HEARTBEAT_FILE", settings.ops_heartbeat_file)
        return
    if with_parent:
        from triagem.cli.parents import end_with_parent

        end_with_parent()
    from triagem.alerts.rules_file import AlertSettings
    from triagem.alerts.rules_file import from_environment as alert_rules
    from triagem.alerts.watch import WatchSettings
    from triagem.producer.crm import from_environment
    from triagem.producer.reclassify.settings import ReclassifySettings
    from triagem.registry import RegistrySettings
    from triagem.trainer.settings import DueSettings
    from triagem.worker.ops import run

    # Its tasks read them later: what is wrong there is said now.
    DueSettings()
    ReclassifySettings()
    AlertSettings()
    alert_rules()
    WatchSettings()
    crm = from_environment()
    status = run(
        broker_url=servers.broker_url(),
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
        targets=crm.targets,
    )
    raise typer.Exit(status)
