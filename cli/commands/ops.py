"""`triagem ops`: a worker for what is done beside the pipe, without torch."""

from typing import Annotated

import typer

from cli import servers


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
    """Look daily for drift and whether retraining is due, when `triagem beat` says so; until SIGTERM.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem ops`
    """
    from worker.settings import OpsSettings

    settings = OpsSettings()
    if check:
        from cli.commands.worker import say_alive

        say_alive("TRIAGEM_OPS_HEARTBEAT_FILE", settings.ops_heartbeat_file)
        return
    if with_parent:
        from cli.parents import end_with_parent

        end_with_parent()
    from producer.reclassify.settings import ReclassifySettings
    from registry import RegistrySettings
    from trainer.settings import DueSettings
    from worker.ops import run

    DueSettings()  # its tasks read them at night: what is wrong there is said now
    ReclassifySettings()
    status = run(
        broker_url=servers.broker_url(),
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
    )
    raise typer.Exit(status)
