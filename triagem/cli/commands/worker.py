"""`triagem worker`: runs one or more worker processes, on a terminal or in a container."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from triagem import servers


def worker(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 if the worker that writes TRIAGEM_HEARTBEAT_FILE is alive.")
    ] = False,
    ready: Annotated[bool, typer.Option("--ready", help="With --check: also require a warmed-up model.")] = False,
    gpus: Annotated[
        str | None,
        typer.Option(help="One process per GPU: `all`, or values for CUDA_VISIBLE_DEVICES such as `0,2`."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes; with --gpus, per GPU.")] = 1,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Fetch tickets, classify them and store the results until SIGTERM, which finishes the current window first.

    With several processes, one that stops is restarted, and SIGTERM stops all of them.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem worker`
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads made one job 10 times slower
    from triagem.worker.settings import WorkerSettings

    settings = WorkerSettings()
    if check:
        check_heartbeat("TRIAGEM_HEARTBEAT_FILE", settings.heartbeat_file, need_ready=ready)
        return
    if with_parent:
        from triagem.cli.processes import end_with_parent

        end_with_parent()
    if gpus or processes > 1:
        from triagem.cli.worker_pool import run_pool, select_gpus

        devices = select_gpus(gpus) if gpus else [None]
        raise typer.Exit(run_pool(devices, processes, settings, typer.echo))
    from triagem.broker import broker_url
    from triagem.inbox import InboxSettings
    from triagem.registry import RegistrySettings
    from triagem.worker.run import run

    status = run(
        broker_url=broker_url(),
        redis_url=servers.redis_url(),
        database_url=servers.database_url(),
        registry_url=RegistrySettings().registry_url,
        settings=settings,
        inbox_settings=InboxSettings(),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread that hangs in C code must not keep the process alive; all work is committed by now


def check_heartbeat(
    setting: str, file: Path | None, *, need_ready: bool = False, max_age_s: float | None = None
) -> None:
    """Exit with status 0 if the worker that writes this heartbeat file is healthy, else with 1 and the problem."""
    from triagem.worker import health

    if file is None:
        raise typer.BadParameter(f"{setting} is not set")
    if problem := health.check(file, need_ready=need_ready, max_age_s=max_age_s or health.ALIVE_S):
        typer.echo(problem, err=True)
        raise typer.Exit(1)
