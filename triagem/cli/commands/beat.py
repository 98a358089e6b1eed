"""`triagem beat`: the clock of the ops worker."""

from typing import Annotated

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(beat)


def beat(*, with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False) -> None:
    """Hand `triagem ops` its daily tasks, at TRIAGEM_DRIFT_AT and TRIAGEM_DUE_AT; one process is enough.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_TIMEZONE=America/Sao_Paulo triagem beat`
    """
    from triagem.worker.beat import run
    from triagem.worker.settings import OpsSettings

    settings = OpsSettings()
    if with_parent:
        from triagem.cli.parents import end_with_parent

        end_with_parent()
    run(broker_url=servers.broker_url(), settings=settings)
