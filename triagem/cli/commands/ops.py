"""`triagem ops` and `triagem beat`: background tasks outside the ticket pipeline, and their schedule."""

from typing import Annotated

import typer

from triagem import servers


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
    from triagem.ops.settings import OPS_ALIVE_S, OpsSettings

    settings = OpsSettings()
    if check:
        from triagem.cli.commands.worker import check_heartbeat

        check_heartbeat("TRIAGEM_OPS_HEARTBEAT_FILE", settings.ops_heartbeat_file, max_age_s=OPS_ALIVE_S)
        return
    if with_parent:
        from triagem.cli.processes import end_with_parent

        end_with_parent()
    from triagem.broker import broker_url
    from triagem.notify.alert_rules import AlertSettings
    from triagem.notify.alert_rules import from_environment as alert_rules
    from triagem.notify.monitor import MonitorSettings
    from triagem.ops.run import run_worker
    from triagem.producer.crm import CrmFile
    from triagem.registry import RegistrySettings
    from triagem.trainer.settings import DueSettings

    # The tasks read these settings later: load them now, so that an error is reported at startup.
    DueSettings()
    AlertSettings()
    alert_rules()
    MonitorSettings()
    crm = CrmFile.from_environment().read()
    status = run_worker(
        broker_url=broker_url(),
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
        targets=crm.targets,
    )
    raise typer.Exit(status)


def beat(*, with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False) -> None:
    """Schedule the daily tasks of `triagem ops`, at TRIAGEM_DRIFT_AT and TRIAGEM_TRAINING_DUE_AT. Run only one.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_TIMEZONE=America/Sao_Paulo triagem beat`
    """
    from triagem.broker import broker_url
    from triagem.ops.run import run_beat
    from triagem.ops.settings import OpsSettings

    settings = OpsSettings()
    if with_parent:
        from triagem.cli.processes import end_with_parent

        end_with_parent()
    run_beat(broker_url=broker_url(), settings=settings)
