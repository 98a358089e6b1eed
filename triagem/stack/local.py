"""The local stack: starts, adopts, shares and stops both servers together.

Every process that started it holds a shared lock on the file `users`, and the last one to leave stops the servers.
The kernel drops a killed process's lock, so the next process adopts the servers it left running.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from io import BufferedWriter
from pathlib import Path

from triagem.stack import state
from triagem.stack.postgres import PostgresServer
from triagem.stack.server import START_TIMEOUT_S, Server, ValkeyServer
from triagem.stack.state import (
    PRIVATE,
    TRAVERSABLE,
    Endpoints,
    Secrets,
    StackFailed,
    claim_folder,
    load_ports,
    load_secrets,
    open_private,
    save_ports,
)


class LocalStack:
    """Valkey and Postgres for this machine only, with their data and passwords in `folder`.

    Keep the object while you use the servers: it holds the lock that keeps them running.
    """

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self.folder = folder.resolve()
        self._fsync = fsync
        self._users_file: BufferedWriter | None = None

    @cached_property
    def valkey(self) -> ValkeyServer:
        return ValkeyServer(self.folder / "valkey", self._secrets.redis)

    @cached_property
    def postgres(self) -> PostgresServer:
        return PostgresServer(self.folder / "postgres", self._secrets.owner, fsync=self._fsync)

    @property
    def servers(self) -> tuple[Server, Server]:
        return self.valkey, self.postgres

    @property
    def endpoints(self) -> Endpoints:
        """The URLs of the servers, running or not."""
        return Endpoints(
            redis_url=self.valkey.url,
            broker_url=self.valkey.url.removesuffix("0") + "1",
            database_url=self.postgres.url,
            reader_url=self.postgres.url_for("analyst", self._secrets.reader),
            writer_url=self.postgres.url_for("worker", self._secrets.writer),
        )

    def start(self) -> Endpoints:
        """Start servers that are down, adopt those that run.

        Raises StackFailed, or MissingExtra without `triagem[stack]`.
        """
        with _os_errors(self.folder):
            claim_folder(self.folder, PRIVATE if os.geteuid() else TRAVERSABLE)
            with state.exclusive(self.folder / "lock", START_TIMEOUT_S):
                self._join()
                try:
                    self._start_servers()
                except BaseException:
                    self._leave()
                    raise
        return self.endpoints

    def stop(self) -> None:
        """Stop the servers, also those a killed process left running, unless another process still uses them."""
        with _os_errors(self.folder):
            if self._exists:
                with state.exclusive(self.folder / "lock", START_TIMEOUT_S):
                    self._leave()

    def erase(self) -> None:
        """Stop the servers and delete their data and passwords. This object must not be used afterwards."""
        if not self.folder.exists():
            return
        self.stop()
        with _os_errors(self.folder):
            for server in self.servers:
                if server.alive:
                    raise StackFailed(f"another process still uses the stack in {self.folder}: stop it first")
                shutil.rmtree(server.home, ignore_errors=True)
            for name in ("stack.json", "secrets.json", "users", "lock"):
                (self.folder / name).unlink(missing_ok=True)

    def running(self) -> Endpoints | None:
        """The URLs of the servers if both are alive and accept our passwords, else None."""
        with _os_errors(self.folder):
            if self._exists:
                self._load_ports()
                if all(server.alive and server.is_ready() for server in self.servers):
                    return self.endpoints
        return None

    def in_use(self) -> bool:
        """Whether a process keeps the servers of this folder running. Does not wait for one that starts them."""
        if not self._exists:
            return False
        with _os_errors(self.folder), open_private(self.folder / "lock", "ab") as lock:
            if not state.wait_until(lambda: state.acquire(lock), 1):
                return True
            with open_private(self.folder / "users", "ab") as users:
                return not state.acquire(users)

    def down(self) -> list[str] | None:
        """The names of servers that are not running; None if no stack was started in this folder."""
        with _os_errors(self.folder):
            if not self._exists:
                return None
            self._load_ports()
            return [server.name for server in self.servers if not server.alive]

    def restart_dead(self) -> list[tuple[Server, int | None]]:
        """Restart the servers that died, on the same ports and data. Raises StackFailed.

        Returns them, each with the exit status of its process: None unless this object started it.
        """
        with _os_errors(self.folder), state.exclusive(self.folder / "lock", START_TIMEOUT_S):
            dead = [(server, server.exit_status) for server in self.servers if not server.alive]
            for server, _ in dead:
                server.start()
        return dead

    def __enter__(self) -> Endpoints:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _exists(self) -> bool:
        return (self.folder / "secrets.json").exists()

    @cached_property
    def _secrets(self) -> Secrets:
        return load_secrets(self.folder)

    def _load_ports(self) -> dict[str, int]:
        saved = load_ports(self.folder)
        for server in self.servers:
            server.port = saved.get(server.name, server.port)
        return saved

    def _start_servers(self) -> None:
        saved = self._load_ports()
        for server in self.servers:
            if not server.alive:
                server.port = state.choose_port(server.port)
            save_ports(self.folder, saved := saved | {server.name: server.port})
            server.start()

    def _join(self) -> None:
        if self._users_file is None:
            self._users_file = open_private(self.folder / "users", "ab")
            # Never blocks: `_leave` locks this file exclusively only under `lock`, which the caller holds now.
            state.acquire(self._users_file, shared=True)

    def _leave(self) -> None:
        with self._users_file or open_private(self.folder / "users", "ab") as users, ExitStack() as cleanup:
            self._users_file = None
            cleanup.callback(state.release, users)
            if state.acquire(users):
                for server in self.servers:
                    cleanup.callback(server.stop)


@contextmanager
def _os_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError into a StackFailed of one line."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        raise StackFailed(f"{error.strerror}: {path}: check that you own it and that the disk has space") from error
