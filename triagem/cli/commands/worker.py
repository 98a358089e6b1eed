"""`triagem worker`: one worker process, for a terminal or a container."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


def worker(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 if the worker of TRIAGEM_HEARTBEAT_FILE lives.")
    ] = False,
    ready: Annotated[bool, typer.Option("--ready", help="With --check: and its model is warmed up.")] = False,
    gpus: Annotated[
        str | None, typer.Option(help="A process for each: `all`, or names for CUDA_VISIBLE_DEVICES, as in `0,2`.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="So many processes; with --gpus, on each GPU.")] = 1,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Take tickets, classify them, store the results; until SIGTERM, which finishes what is in hand.

    With several processes, one that dies is started again, and SIGTERM lets all finish.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem worker`
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads made one job 10 times slower
    from triagem.worker.settings import WorkerSettings

    settings = WorkerSettings()
    if check:
        say_alive("TRIAGEM_HEARTBEAT_FILE", settings.heartbeat_file, need_ready=ready)
        return
    if with_parent:
        from triagem.cli.parents import end_with_parent

        end_with_parent()
    if gpus or processes > 1:
        from triagem.cli.crew import gpus_named, serve

        devices = gpus_named(gpus) if gpus else [None]
        raise typer.Exit(serve(devices, processes, settings, typer.echo))
    from triagem.inbox import InboxSettings
    from triagem.registry import RegistrySettings
    from triagem.worker.run import run

    status = run(
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
        inbox_settings=InboxSettings(),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread that hangs in C code must not keep the process; everything is settled by now


def say_alive(setting: str, file: Path | None, *, need_ready: bool = False) -> None:
    """Exit status 0 if the worker that keeps this heartbeat file is well, else 1 and what is wrong."""
    from triagem.worker import health

    if file is None:
        raise typer.BadParameter(f"{setting} is not set")
    if wrong := health.check(file, need_ready=need_ready):
        typer.echo(wrong, err=True)
        raise typer.Exit(1)
