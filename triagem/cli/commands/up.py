"""`triagem up` runs the local stack with all processes, and `triagem env` prints its settings."""

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event, Thread
from typing import Annotated, Final
from urllib.request import ProxyHandler, build_opener

import typer

from triagem import servers
from triagem.cli.commands.access import login_link
from triagem.cli.known_settings import invalid_values, variables_set
from triagem.cli.options import AsJson
from triagem.cli.output import console, local_time, print_answer, print_lines
from triagem.cli.processes import WorkerProcess, WorkerSlot, exit_on_sigterm, run_until_stopped
from triagem.cli.progress import StepTimer
from triagem.contracts.errors import InvalidInput, NotConfigured, TriagemError
from triagem.db import Database
from triagem.inbox import connect
from triagem.inbox.lease import release_ended
from triagem.notify.alert_rules import AlertSettings, AlertsFile
from triagem.process import describe_exit
from triagem.producer.crm import CrmFile
from triagem.stack import Endpoints, LocalStack, ensure_reader_login, ensure_writer_login
from triagem.stack.server import Server
from triagem.stack.state import LOOPBACK, write_private
from triagem.worker.settings import WorkerSettings

_ANSWER_S: Final = 1.0
_WATCH_S: Final = 5.0
_DIRECTLY: Final = build_opener(ProxyHandler({}))  # the gateway is on this machine


def up(
    *,
    workers: Annotated[int, typer.Option(min=0, help="Number of workers; 0 starts only Redis and Postgres.")] = 1,
) -> None:
    """Run Redis, Postgres, gateway, workers, ops, beat and a trainer on this machine until Ctrl-C or SIGTERM.

    The port of API and console is TRIAGEM_GATEWAY_PORT, by default 8000.

    Example: `triagem up`
    """
    began = time.monotonic()
    stack = LocalStack(servers.STACK_FOLDER)
    if stack.in_use():
        raise InvalidInput(
            "`triagem up` or `triagem demo` is already running in this folder: `triagem status` shows its state, and "
            "Ctrl-C in its terminal stops it. For more workers, stop it and start `triagem up --workers N`"
        )
    address = gateway_address(check=True) if workers else None
    steps = StepTimer(console)
    exit_on_sigterm()
    with steps.step("start Redis and Postgres"):
        endpoints = stack.start()
    if ignored := [name for name, url in endpoints.settings.items() if os.environ.get(name, url) != url]:
        print_lines(f"not used, `triagem up` runs its own Redis and Postgres: {', '.join(ignored)}")
    try:
        with steps.step("migrate the database"):
            prepare_database(endpoints)
        write_private(servers.STACK_FOLDER / servers.ADDRESS_FILE, address or "")
        if address:
            key = "`triagem keys create NAME --scope enqueue`"
            print_lines(f"API: {address} (described at {address}/docs); a key: {key}")
            print_first_step(endpoints, address)
        services = ("ops", "beat", "gateway", "trainer") if workers else ()
        ready = Ready(f"{address}/health", began) if address else None
        run_processes(endpoints, workers=workers, services=services, stack=stack, ready=ready)
    finally:
        with steps.step("stop Redis and Postgres"):
            stack.stop()


def print_first_step(endpoints: Endpoints, address: str) -> None:
    """Print where to continue. Never log the login link: it logs in whoever opens it."""
    page = f"{address}/console/ (`triagem start --link` prints a link that logs in)"
    if console.is_terminal:
        with Database(endpoints.database_url) as database:
            page = f"{login_link(database, address)} (logs in once; `triagem start --link` prints another)"
    if servers.registry().find_current() is None:
        page = f"no model yet: tickets are stored, and your answers make the first model. Start at {page}"
    else:
        page = f"console: {page}"
    print_lines(page)


@dataclass
class Ready:
    """Prints once, after the start, that tickets are processed: the address answers with status 200."""

    url: str
    began: float
    printed: bool = False

    def check(self) -> None:
        """Ask the address unless it has answered before. Does not wait for an address that hangs."""
        if self.printed:
            return
        try:
            with _DIRECTLY.open(self.url, timeout=_ANSWER_S) as answer:
                status = json.load(answer)["status"]
        except (OSError, ValueError):
            return
        if status != "degraded":  # a worker that still loads its model
            print_lines(f"ready after {time.monotonic() - self.began:.0f} s")
            self.printed = True


def watch_server(server: Server, report: Callable[[str], None], ended: Event) -> None:
    """Report once that a server hangs that has answered since its start, and once that it answers again."""
    hung, ready_pid = False, server.pid
    while not ended.wait(_WATCH_S):
        pid = server.pid
        # Asked twice: an answer may take seconds, on a busy machine or after the crash of a session.
        hangs = server.hangs and not ended.wait(_WATCH_S) and server.hangs
        if not hangs:
            ready_pid = pid
        if pid and ready_pid == pid == server.pid and hangs != hung and not ended.is_set():
            hung = hangs
            step = servers.local_step((LOOPBACK, server.port))
            report(f"{server.name} does not answer: {step}" if hung else f"{server.name} answers again")


def run_processes(
    endpoints: Endpoints,
    *,
    workers: int,
    services: Sequence[str] = (),
    stack: LocalStack | None = None,
    ready: Ready | None = None,
) -> None:
    """Run workers and the `services` commands until SIGINT or SIGTERM, then let them finish.

    Processes and servers of `stack` that stop are restarted. The exit status is 1 if a process reports at startup
    that it cannot run.
    """
    ports: dict[str, int] = {}
    stopping = Event()

    def start(name: str, command: str) -> WorkerProcess:
        return WorkerProcess(
            endpoints,
            servers.STACK_FOLDER / f"{name}.log",
            command,
            TRIAGEM_BEAT_SCHEDULE=str(servers.STACK_FOLDER / "beat-schedule"),
            TRIAGEM_METRICS_PORT=str(ports.get(name, 0)),
            TRIAGEM_CONSOLE_URL=AlertSettings().console_url or f"{gateway_address()}/console",
        )

    def report(event: str) -> None:
        print_lines(f"{local_time(datetime.now(UTC))} {event}")

    def ended(pid: int) -> None:
        with suppress(TriagemError):  # without Redis, the lease expires by itself
            release_ended(connect(endpoints.redis_url), pid)

    @contextmanager
    def stop_step() -> Iterator[None]:
        stopping.set()
        for server in stack.servers if stack else ():
            if server.hangs:  # workers wait for it until they are killed
                report(f"{server.name} does not answer: its process {server.pid} may be frozen, and gets SIGCONT")
                server.resume()
        with StepTimer(console).step("stop all processes"):
            yield

    def each_round() -> None:
        for server, status in stack.restart_dead() if stack and stack.down() else ():
            end = "had stopped" if status is None else describe_exit(status)
            report(f"{server.name} was restarted: it {end}; see {server.log}")
        if ready:
            ready.check()

    commands = {f"worker-{index}": "worker" for index in range(workers)}
    commands |= {service: service for service in services}
    if first_port := WorkerSettings().metrics.port:
        # Each process needs its own port; beat and the trainer serve no metrics.
        exporters = [name for name in commands if name not in {"beat", "trainer"}]
        ports = {name: first_port + index for index, name in enumerate(exporters)}
    slots = [
        WorkerSlot(name, partial(start, name, command), report, ended=ended) for name, command in commands.items()
    ]
    others = "".join(f", {service}" for service in services)
    print_lines(f"workers: {workers}{others}; logs: {servers.STACK_FOLDER}/*.log; press Ctrl-C to stop")
    if ports:
        print_lines("metrics: " + ", ".join(f"{name} on port {port}" for name, port in ports.items()))
    for server in stack.servers if stack else ():
        Thread(target=watch_server, args=(server, report, stopping), daemon=True).start()
    if not run_until_stopped(slots, each_round, stop_step=stop_step())[0]:
        raise typer.Exit(1)


def prepare_database(endpoints: Endpoints) -> None:
    """Migrate the local stack's database and create the logins of workers and of read-only users."""
    from triagem.db.upgrade import upgrade

    with Database(endpoints.database_url) as database:
        upgrade(database)
    ensure_reader_login(endpoints.database_url, endpoints.reader_password)
    ensure_writer_login(endpoints.database_url, endpoints.writer_password)


def env(*, as_json: AsJson = False) -> None:
    """Print the URLs of the running local stack and its models as `export` lines. They contain passwords.

    With these variables, programs in other folders use this stack.

    Example: `eval "$(triagem env)"`
    """
    if (stack := servers.local_stack()) is None:
        raise NotConfigured("no local stack is running here: start one with `triagem up`")
    settings = {**stack.settings, "TRIAGEM_REGISTRY_URL": servers.registry_url()}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    print_answer(settings, lines, as_json=as_json)


def gateway_address(*, check: bool = False) -> str:
    """The gateway's URL. `check`: raise InvalidInput if the address, a setting or a file is invalid."""
    from triagem.gateway.serve import listen, url
    from triagem.gateway.services import GatewaySettings

    settings = GatewaySettings()
    if check:
        if invalid := invalid_values(variables_set()):
            raise InvalidInput("; ".join(invalid))
        CrmFile.from_environment()
        AlertsFile.from_environment()
        listen(settings.host, settings.port).close()
    return url(settings.host, settings.port)
