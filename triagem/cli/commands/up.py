"""`triagem up`: the local stack with gateway, workers, ops and beat, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli.output import console
from triagem.cli.servers import STACK_FOLDER
from triagem.cli.steps import Steps

if TYPE_CHECKING:
    from triagem.cli.stack import Endpoints


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(*, workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: servers only.")] = 1) -> None:
    """Start Redis, Postgres, gateway, workers, ops and beat on this machine, and stop them with Ctrl-C or SIGTERM.

    Example: `triagem up`
    """
    from triagem.cli.processes import exit_on_sigterm
    from triagem.cli.stack import LocalStack
    from triagem.registry import Registry, RegistrySettings

    address = None
    if workers:
        Registry(RegistrySettings().registry_url).current()  # says what to do if there is no model
        address = free_address()
    steps = Steps(console)
    stack = LocalStack(STACK_FOLDER)
    exit_on_sigterm()
    with steps.step("start Redis and Postgres"):
        endpoints = stack.start()
    try:
        with steps.step("bring the database up to date"):
            prepare(endpoints)
        if console.is_terminal:  # it holds a password: for a person, not for a log
            console.print(f"psql '{endpoints.reader_url}'", markup=False, highlight=False, soft_wrap=True)
        if address:
            console.print(f"gateway: {address}, described at {address}/docs", markup=False, soft_wrap=True)
        serve(endpoints, workers=workers, beside=("ops", "beat", "gateway") if workers else ())
    finally:
        stack.stop()


def free_address() -> str:
    """Where the gateway will listen. Raises InvalidInput if nobody can listen there, before anything is started."""
    from triagem.gateway.address import listen, url
    from triagem.gateway.settings import GatewaySettings

    settings = GatewaySettings()
    listen(settings.host, settings.port).close()
    return url(settings.host, settings.port)


def serve(endpoints: Endpoints, *, workers: int, beside: Sequence[str] = ()) -> None:
    """Run workers, and the commands `beside`, until SIGINT or SIGTERM, then let them finish. One that dies is started
    again; exit status 1 if one says at its start that it cannot work."""
    from concurrent.futures import ThreadPoolExecutor

    from triagem.cli.processes import WorkerProcess
    from triagem.cli.restarts import Place
    from triagem.worker.settings import WorkerSettings

    asked = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked.set())
    started: list[WorkerProcess] = []
    ports: dict[str, int] = {}

    def start(name: str, command: str) -> WorkerProcess:
        started.append(
            WorkerProcess(
                endpoints,
                STACK_FOLDER / f"{name}.log",
                command,
                TRIAGEM_BEAT_SCHEDULE=str(STACK_FOLDER / "beat-schedule"),
                TRIAGEM_METRICS_PORT=str(ports.get(name, 0)),
            )
        )
        return started[-1]

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    names = {f"worker-{number}": "worker" for number in range(workers)}
    names |= {name: name for name in beside}
    first = WorkerSettings().metrics_port
    if first:  # each process needs its own
        ports |= {name: first + place for place, name in enumerate(one for one in names if one != "beat")}
    places = [Place(name, partial(start, name, command), say) for name, command in names.items()]
    try:
        also = "".join(f", {name}" for name in beside)
        say(f"workers: {workers}{also}; logs: {STACK_FOLDER}/*.log; Ctrl-C stops everything")
        if first:
            say("metrics: " + ", ".join(f"{name} on port {port}" for name, port in ports.items()))
        while not asked.wait(0.5):
            if not all(place.look() for place in places):
                raise typer.Exit(1)
    finally:
        finish = Steps(console).step("let the workers finish what is in hand")
        with finish, ThreadPoolExecutor(len(started) or 1) as pool:
            list(pool.map(WorkerProcess.stop, started))


def prepare(endpoints: Endpoints) -> None:
    """Migrate the local stack's database, and let in workers, and people who only read."""
    from triagem.cli.stack import ensure_reader_login, ensure_writer_login
    from triagem.db import Database
    from triagem.db.upgrade import upgrade

    with Database(endpoints.database_url) as database:
        upgrade(database)
    ensure_reader_login(endpoints.database_url, endpoints.reader_password)
    ensure_writer_login(endpoints.database_url, endpoints.writer_password)
