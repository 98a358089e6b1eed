"""The local stack: both servers as one thing that is started, found again, shared and stopped.

Every process that started it holds a shared lock on `users`, and the last one out stops the servers. The
kernel drops a killed process's lock, so what that one left running belongs to whoever comes next.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from io import BufferedWriter
from pathlib import Path
from typing import Final

from triagem.cli.stack import locks, ports
from triagem.cli.stack.errors import StackFailed
from triagem.cli.stack.files import PASSABLE, PRIVATE, claim_folder, open_private
from triagem.cli.stack.postgres import PostgresServer
from triagem.cli.stack.server import PATIENCE, Server
from triagem.cli.stack.state import Endpoints, Secrets, load_ports, save_ports, secrets_of
from triagem.cli.stack.valkey import ValkeyServer

DEFAULT_FOLDER: Final = Path(".triagem")


class LocalStack:
    """Valkey and Postgres for this machine alone, with their data and passwords in `folder`.

    Keep the object for as long as you use the servers: it holds your share in them.
    """

    def __init__(self, folder: Path = DEFAULT_FOLDER, *, fsync: bool = True) -> None:
        self.folder = folder.resolve()
        self._fsync = fsync
        self._use: BufferedWriter | None = None

    @cached_property
    def valkey(self) -> ValkeyServer:
        return ValkeyServer(self.folder / "valkey", self._secrets.redis)

    @cached_property
    def postgres(self) -> PostgresServer:
        return PostgresServer(self.folder / "postgres", self._secrets.owner, fsync=self._fsync)

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers are, or were last."""
        return Endpoints(
            redis_url=self.valkey.url,
            broker_url=self.valkey.url.removesuffix("0") + "1",
            database_url=self.postgres.url,
            reader_url=self.postgres.url_for("analyst", self._secrets.reader),
            writer_url=self.postgres.url_for("worker", self._secrets.writer),
        )

    def start(self) -> Endpoints:
        """Start what is down, adopt what runs. Raises StackFailed; MissingExtra without `triagem[stack]`."""
        with _in_one_line(self.folder):
            claim_folder(self.folder, PRIVATE if os.geteuid() else PASSABLE)
            with locks.exclusive(self.folder / "lock", PATIENCE):
                self._enter()
                try:
                    self._start_servers()
                except BaseException:
                    self._leave()
                    raise
        return self.endpoints

    def stop(self) -> None:
        """Stop the servers, also those that a killed process left, unless another process still uses them."""
        with _in_one_line(self.folder):
            if self._known:
                with locks.exclusive(self.folder / "lock", PATIENCE):
                    self._leave()

    def erase(self) -> None:
        """Stop the servers and delete their data and passwords, wherever they lie; this object is then used up."""
        if not self.folder.exists():
            return
        self.stop()
        with _in_one_line(self.folder):
            for server in self._servers:
                if server.alive:
                    raise StackFailed(f"another process still uses the stack in {self.folder}: end it first")
                shutil.rmtree(server.home, ignore_errors=True)
            for name in ("stack.json", "secrets.json", "users", "lock"):
                (self.folder / name).unlink(missing_ok=True)

    def running(self) -> Endpoints | None:
        """Where the servers are, if both are alive and answer to our passwords."""
        with _in_one_line(self.folder):
            if self._known:
                self._recall_ports()
                if all(server.alive and server.answers() for server in self._servers):
                    return self.endpoints
        return None

    def __enter__(self) -> Endpoints:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _known(self) -> bool:
        return (self.folder / "secrets.json").exists()

    @cached_property
    def _secrets(self) -> Secrets:
        return secrets_of(self.folder)

    @property
    def _servers(self) -> tuple[Server, Server]:
        return self.valkey, self.postgres

    def _recall_ports(self) -> dict[str, int]:
        known = load_ports(self.folder)
        for server in self._servers:
            server.port = known.get(server.name, server.port)
        return known

    def _start_servers(self) -> None:
        known = self._recall_ports()
        for server in self._servers:
            if not server.alive:
                server.port = ports.choose(server.port)
            save_ports(self.folder, known := known | {server.name: server.port})
            server.start()

    def _enter(self) -> None:
        if self._use is None:
            self._use = open_private(self.folder / "users", "ab")
            locks.take(self._use, shared=True)  # all who leave hold `lock`, so it is to be had

    def _leave(self) -> None:
        with self._use or open_private(self.folder / "users", "ab") as use, ExitStack() as always:
            self._use = None
            always.callback(locks.drop, use)
            if locks.take(use):
                for server in self._servers:
                    always.callback(server.stop)


def running(folder: Path = DEFAULT_FOLDER) -> Endpoints | None:
    """Where the stack of `folder` is, if both servers are alive and answer to its passwords."""
    return LocalStack(folder).running()


@contextmanager
def _in_one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise StackFailed(f"{error.strerror}: {where}: see that it is yours and that the disk has room") from error
