"""`triagem up` runs the local stack with all processes until Ctrl-C; `triagem env` prints its settings."""

import shlex
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.start import gateway_address, login_link
from triagem.cli.options import AsJson
from triagem.cli.output import StepTimer, console, print_answer, print_lines
from triagem.cli.processes import WorkerProcess, WorkerSlot, exit_on_sigterm
from triagem.contracts.errors import NoModel, NotConfigured
from triagem.db import Database
from triagem.notify.alert_rules import AlertSettings
from triagem.stack import Endpoints, LocalStack, ensure_reader_login, ensure_writer_login
from triagem.worker.settings import WorkerSettings


def up(
    *,
    workers: Annotated[int, typer.Option(min=0, help="Number of workers; 0 starts only Redis and Postgres.")] = 1,
) -> None:
    """Run Redis, Postgres, gateway, workers, ops, beat and a trainer on this machine until Ctrl-C or SIGTERM.

    Example: `triagem up`
    """
    address = check_gateway_address() if workers else None
    steps = StepTimer(console)
    stack = LocalStack(servers.STACK_FOLDER)
    exit_on_sigterm()
    with steps.step("start Redis and Postgres"):
        endpoints = stack.start()
    try:
        with steps.step("migrate the database"):
            prepare_database(endpoints)
        if console.is_terminal:  # the URL contains a password, which must not go to a log
            print_lines(f"psql '{endpoints.reader_url}'")
        if address:
            print_lines(f"gateway: {address}, API docs: {address}/docs")
            print_first_step(endpoints, address)
        services = ("ops", "beat", "gateway", "trainer") if workers else ()
        run_processes(endpoints, workers=workers, services=services, stack=stack)
    finally:
        stack.stop()


def print_first_step(endpoints: Endpoints, address: str) -> None:
    """Print what to do if there is no model. The link logs in, so it must not go to a log."""
    try:
        servers.registry().current()
    except NoModel:
        page = f"{address}/console/start"
        if console.is_terminal:
            with Database(endpoints.database_url) as database:
                page = f"{login_link(database, address)} (logs in once; `triagem start --link` prints another)"
        print_lines(f"no model yet: tickets are stored, and your answers make the first model. Start at {page}")


def check_gateway_address() -> str:
    """The gateway's URL. Raises InvalidInput if its address cannot be bound, before anything is started."""
    from triagem.gateway.serve import listen
    from triagem.gateway.services import GatewaySettings

    settings = GatewaySettings()
    listen(settings.host, settings.port).close()
    return gateway_address()


def run_processes(
    endpoints: Endpoints, *, workers: int, services: Sequence[str] = (), stack: LocalStack | None = None
) -> None:
    """Run workers and the `services` commands until SIGINT or SIGTERM, then let them finish.

    A process that stops is restarted, and so is a server of `stack`. Exit status 1 if a process reports at startup
    that it cannot run.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    started: list[WorkerProcess] = []
    ports: dict[str, int] = {}

    def start(name: str, command: str) -> WorkerProcess:
        started.append(
            WorkerProcess(
                endpoints,
                servers.STACK_FOLDER / f"{name}.log",
                command,
                TRIAGEM_BEAT_SCHEDULE=str(servers.STACK_FOLDER / "beat-schedule"),
                TRIAGEM_METRICS_PORT=str(ports.get(name, 0)),
                TRIAGEM_CONSOLE_URL=AlertSettings().console_url or f"{gateway_address()}/console",
            )
        )
        return started[-1]

    commands = {f"worker-{index}": "worker" for index in range(workers)}
    commands |= {service: service for service in services}
    if first_port := WorkerSettings().metrics.port:
        # Each process needs its own port; beat and the trainer serve no metrics.
        exporters = [name for name in commands if name not in {"beat", "trainer"}]
        ports |= {name: first_port + index for index, name in enumerate(exporters)}
    slots = [WorkerSlot(name, partial(start, name, command), print_lines) for name, command in commands.items()]
    try:
        others = "".join(f", {service}" for service in services)
        print_lines(f"workers: {workers}{others}; logs: {servers.STACK_FOLDER}/*.log; press Ctrl-C to stop")
        if first_port:
            print_lines("metrics: " + ", ".join(f"{name} on port {port}" for name, port in ports.items()))
        while not stopping.wait(0.5):
            if not all(slot.poll() for slot in slots):
                raise typer.Exit(1)
            for server in stack.restart_dead() if stack and stack.down() else ():
                print_lines(
                    f"{server} had stopped and was restarted: see {servers.STACK_FOLDER}/{server.lower()}/server.log"
                )
    finally:
        stop = StepTimer(console).step("stop all processes")
        with stop, ThreadPoolExecutor(len(started) or 1) as pool:
            list(pool.map(WorkerProcess.stop, started))


def prepare_database(endpoints: Endpoints) -> None:
    """Migrate the local stack's database and create the logins of workers and of read-only users."""
    from triagem.db.upgrade import upgrade

    with Database(endpoints.database_url) as database:
        upgrade(database)
    ensure_reader_login(endpoints.database_url, endpoints.reader_password)
    ensure_writer_login(endpoints.database_url, endpoints.writer_password)


def env(*, as_json: AsJson = False) -> None:
    """Print the URLs of the running local stack as `export` lines. They contain passwords.

    With them, programs in other folders use this stack.

    Example: `eval "$(triagem env)"`
    """
    stack = servers.local_stack()
    if stack is None:
        raise NotConfigured("no local stack is running here: start one with `triagem up`")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in stack.settings.items()]
    print_answer(stack.settings, lines, as_json=as_json)
