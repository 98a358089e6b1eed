"""A Redis server: Valkey, which speaks the Redis protocol and is installed by pip. It evicts no keys.

A write is on disk before it is acknowledged. There are no periodic snapshots: the append-only file is the only copy
of the data.
"""

from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

from redis import AuthenticationError, Redis, RedisError

from triagem.stack.binaries import RunAs, valkey_server
from triagem.stack.files import StackFailed, write_private
from triagem.stack.server import Server
from triagem.stack.state import LOOPBACK

# `dir .` is the folder it is launched in, so that no unusual path needs quoting; it logs to stdout.
CONFIG: Final = """\
bind {host}
port {port}
requirepass {password}
dir .
appendonly yes
appendfsync always
save ""
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
logfile ""
"""


class ValkeyServer(Server):
    """A Valkey server with its data in `folder`."""

    name = "Redis"
    stop_signals = ((SIGTERM, 30), (SIGKILL, 10))

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(folder, RunAs())
        self._password = password

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def is_ready(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2, retry=None) as client:
                return bool(client.ping())
        except AuthenticationError as error:
            fix = f"restore secrets.json, or kill process {self.pid}"
            raise StackFailed(f"Redis in {self.home} rejects the password in secrets.json: {fix}") from error
        except RedisError:
            return False

    def _prepare(self) -> None:
        content = CONFIG.format(host=LOOPBACK, port=self.port, password=self._password)
        write_private(self.home / "valkey.conf", content)

    def _command(self) -> Sequence[str | Path]:
        return [valkey_server(), "./valkey.conf"]
