"""`triagem ops`: the worker for background tasks outside the ticket pipeline, without torch."""

from typing import Annotated

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ops)


def ops(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 if the worker that writes TRIAGEM_OPS_HEARTBEAT_FILE is alive.")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Deliver results to CRMs and alerts to people, and check daily for drift and due retraining, until SIGTERM.

    `triagem beat` schedules the daily checks. TRIAGEM_CRM_FILE configures where results go, TRIAGEM_ALERTS_FILE who
    receives which alerts; without these files nothing is sent.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem ops`
    """
    from triagem.worker.settings import OpsSettings

    settings = OpsSettings()
    if check:
        from triagem.cli.commands.worker import check_heartbeat

        check_heartbeat("TRIAGEM_OPS_HEARTBEAT_FILE", settings.ops_heartbeat_file)
        return
    if with_parent:
        from triagem.cli.parent_watch import end_with_parent

        end_with_parent()
    from triagem.alerts.monitor import MonitorSettings
    from triagem.alerts.rules_file import AlertSettings
    from triagem.alerts.rules_file import from_environment as alert_rules
    from triagem.producer.crm import crm_from_environment
    from triagem.producer.reclassify.settings import ReclassifySettings
    from triagem.registry import RegistrySettings
    from triagem.trainer.settings import DueSettings
    from triagem.worker.ops import run

    # The tasks read these settings later: load them now, so that an error is reported at startup.
    DueSettings()
    ReclassifySettings()
    AlertSettings()
    alert_rules()
    MonitorSettings()
    crm = crm_from_environment()
    status = run(
        broker_url=servers.broker_url(),
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
        targets=crm.targets,
    )
    raise typer.Exit(status)
