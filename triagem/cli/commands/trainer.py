"""`triagem trainer`: runs training jobs, one at a time."""

from typing import Annotated

import typer

from triagem import servers


def trainer(
    *,
    job: Annotated[int | None, typer.Option("--job", hidden=True)] = None,
    trainer_name: Annotated[str, typer.Option("--trainer", hidden=True)] = "",
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run the training jobs that console, commands and ops request, one at a time, until SIGTERM.

    SIGTERM puts a running job back into the queue; it goes on from its last checkpoint.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem trainer`
    """
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.jobs.settings import TrainerSettings

    settings = TrainerSettings()
    if with_parent:
        from triagem.cli.processes import end_with_parent, exit_on_sigterm

        if job is not None:
            exit_on_sigterm()
        end_with_parent()
    if job is not None:
        from triagem.trainer.jobs.run import run_job

        with servers.database() as database:
            run_job(database, Registry(RegistrySettings().registry_url), settings, job, trainer_name)
        return
    from triagem.broker import broker_url
    from triagem.db.upgrade import require_current
    from triagem.trainer.app import configured_trainer, run_trainer

    with servers.database() as database:
        require_current(database)
    raise typer.Exit(run_trainer(broker_url=broker_url(), build=configured_trainer))
