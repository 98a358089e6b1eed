"""`triagem beat`: the scheduler of the ops worker's daily tasks."""

from typing import Annotated

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(beat)


def beat(*, with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False) -> None:
    """Schedule the daily tasks of `triagem ops`, at TRIAGEM_DRIFT_AT and TRIAGEM_TRAINING_DUE_AT. Run one process.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_TIMEZONE=America/Sao_Paulo triagem beat`
    """
    from triagem.worker.beat import run
    from triagem.worker.settings import OpsSettings

    settings = OpsSettings()
    if with_parent:
        from triagem.cli.parent_watch import end_with_parent

        end_with_parent()
    run(broker_url=servers.broker_url(), settings=settings)
