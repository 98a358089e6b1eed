"""`triagem worker`, `ops`, `beat`, `gateway` and `trainer`: the long-running processes, until SIGTERM."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from triagem import servers
from triagem.cli.processes import end_with_parent, exit_on_sigterm
from triagem.process import MetricsSettings, TimezoneSettings
from triagem.worker import health


def _watch_parent(value: bool) -> bool:
    if value:
        end_with_parent()
    return value


_WithParent = Annotated[
    bool,
    typer.Option("--with-parent", hidden=True, callback=_watch_parent, help="End when the parent process ends."),
]


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
    _with_parent: _WithParent = False,
) -> None:
    """Fetch tickets, classify them and store the results until SIGTERM, which finishes the current window first.

    With several processes, one that stops is restarted, and SIGTERM stops all of them.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem worker`
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin made one job 10 times slower
    from triagem.worker.settings import WorkerSettings

    settings = WorkerSettings()
    if check:
        _check_heartbeat("TRIAGEM_HEARTBEAT_FILE", settings.heartbeat_file, need_ready=ready)
    if gpus or processes > 1:
        from triagem.cli.processes import run_pool, select_gpus

        def report(line: str) -> None:
            structlog.get_logger(__name__).warning("worker_process", reason=line)

        devices = select_gpus(gpus) if gpus else [None]
        raise typer.Exit(run_pool(devices, processes, settings, report))
    from triagem.worker.app import run

    status = run(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # all work is committed; a thread that hangs in C code must not keep the process alive


def ops(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 if the worker that writes TRIAGEM_OPS_HEARTBEAT_FILE is alive.")
    ] = False,
    _with_parent: _WithParent = False,
) -> None:
    """Deliver results to CRMs and alerts to people, and check daily for drift and due retraining, until SIGTERM.

    `triagem beat` schedules the daily checks. TRIAGEM_CRM_FILE configures where results go, TRIAGEM_ALERTS_FILE who
    receives which alerts. Without these files nothing is sent.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem ops`
    """
    from triagem.ops.settings import OPS_ALIVE_S, OpsSettings

    settings = OpsSettings()
    if check:
        _check_heartbeat("TRIAGEM_OPS_HEARTBEAT_FILE", settings.ops_heartbeat_file, max_age_s=OPS_ALIVE_S)
    from triagem.notify.alert_rules import AlertsFile
    from triagem.notify.monitor import MonitorSettings
    from triagem.ops.run import run_worker
    from triagem.producer.crm import CrmFile
    from triagem.trainer.settings import DueSettings

    # The tasks read these settings later. Load them now to report an error at startup.
    DueSettings()
    AlertsFile.from_environment()
    MonitorSettings()
    raise typer.Exit(run_worker(settings, CrmFile.from_environment().read().targets))


def beat(*, _with_parent: _WithParent = False) -> None:
    """Schedule the daily tasks of `triagem ops`, at TRIAGEM_DRIFT_AT and TRIAGEM_TRAINING_DUE_AT. Run only one.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_TIMEZONE=America/Sao_Paulo triagem beat`
    """
    from triagem.ops.run import run_beat
    from triagem.ops.settings import OpsSettings

    run_beat(OpsSettings())


def gateway(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit 0 if a gateway answers at its address.")] = False,
    _with_parent: _WithParent = False,
) -> None:
    """Serve the HTTP API, CRM webhooks and the console until SIGTERM, which finishes requests in progress first.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem gateway`
    """
    from triagem.gateway.services import GatewaySettings, Services

    settings = GatewaySettings()
    if check:
        _exit(_probe(settings.host, settings.port))
    from triagem.gateway.serve import serve
    from triagem.notify.monitor import MonitorSettings
    from triagem.producer.crm import CrmFile

    # The console reads these settings later. Load them now to report an error at startup.
    TimezoneSettings()
    MonitorSettings()
    crm_file = CrmFile.from_environment()
    with servers.database() as database:
        serve(Services(servers.inbox(), database, servers.registry(), settings, crm_file), MetricsSettings())


def trainer(
    *,
    job: Annotated[int | None, typer.Option("--job", hidden=True)] = None,
    trainer_name: Annotated[str, typer.Option("--trainer", hidden=True)] = "",
    _with_parent: _WithParent = False,
) -> None:
    """Run the training jobs that console, commands and ops request, one at a time, until SIGTERM.

    SIGTERM puts a running job back into the queue; later the job continues from its last checkpoint.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem trainer`
    """
    from triagem.trainer.settings import TrainerSettings

    settings = TrainerSettings()
    if job is not None:
        from triagem.trainer.jobs.run import run_job

        exit_on_sigterm()
        with servers.database() as database:
            run_job(database, servers.registry(), settings, job, trainer_name)
        return
    from triagem.trainer.app import run_trainer

    raise typer.Exit(run_trainer())


def _check_heartbeat(
    setting: str, file: Path | None, *, need_ready: bool = False, max_age_s: float | None = None
) -> NoReturn:
    """Exit with status 0 if the worker that writes this heartbeat file is healthy, else with 1 and the problem."""
    if file is None:
        raise typer.BadParameter(f"{setting} is not set")
    _exit(health.check(file, need_ready=need_ready, max_age_s=max_age_s or health.ALIVE_S))


def _exit(problem: str | None) -> NoReturn:
    if problem:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if problem else 0)


def _probe(host: str, port: int) -> str | None:
    """None if the gateway at this address answers, with any status; else the problem."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/health/live")  # queries no store, and no failed request is counted
        connection.getresponse()
    except (OSError, HTTPException) as error:
        return f"no gateway answers at {host}, port {port} ({type(error).__name__})"
    finally:
        connection.close()
    return None
