"""State of the stack that is kept between runs: passwords and ports; and the choice of free ports."""

import hmac
import json
import re
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from triagem.stack.files import StackFailed, write_private


@dataclass(frozen=True, repr=False)
class Endpoints:
    """URLs of the stack's servers, for `TRIAGEM_REDIS_URL` and similar settings. The repr hides passwords."""

    redis_url: str
    broker_url: str
    database_url: str
    reader_url: str
    writer_url: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a process that uses these servers."""
        return {
            "TRIAGEM_REDIS_URL": self.redis_url,
            "TRIAGEM_BROKER_URL": self.broker_url,
            "TRIAGEM_DATABASE_URL": self.database_url,
        }

    @property
    def reader_password(self) -> str:
        """The password of the login `analyst`."""
        return urlsplit(self.reader_url).password or ""

    @property
    def writer_password(self) -> str:
        """The password of the login `worker`."""
        return urlsplit(self.writer_url).password or ""

    def __repr__(self) -> str:
        urls = ", ".join(f"{name}={url!r}" for name, url in asdict(self).items())
        return f"Endpoints({re.sub(r':[^:@/]*@', ':***@', urls)})"


@dataclass(frozen=True, repr=False)
class Secrets:
    """The stack's passwords: URL-safe, generated once, kept in a file that only its owner can read."""

    redis: str = field(default_factory=secrets.token_urlsafe)
    owner: str = field(default_factory=secrets.token_urlsafe)
    reader: str = field(default_factory=secrets.token_urlsafe)
    writer: str = field(default_factory=secrets.token_urlsafe)


def load_secrets(folder: Path) -> Secrets:
    """The passwords of the stack in `folder`; generates and saves them if there are none."""
    path = folder / "secrets.json"
    if not path.exists():
        write_private(path, json.dumps(asdict(Secrets())))
    path.chmod(0o600)
    try:
        saved = json.loads(path.read_text())
        # A stack created before workers had a login lacks this password. It is derived, not random: concurrent
        # processes must agree on it, and a process that only reads must not write.
        saved.setdefault("writer", hmac.new(saved["owner"].encode(), b"writer", "sha256").hexdigest())
        return Secrets(**saved)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackFailed(f"{path} is damaged: restore it, or delete {folder} with all its data") from error


def load_ports(folder: Path) -> dict[str, int]:
    """The last port of each server, by server name; empty if none was saved."""
    try:
        saved = json.loads((folder / "stack.json").read_text())
        # Release 0.2 saved the port of Redis under the name Valkey.
        return {str(name).replace("Valkey", "Redis"): int(port) for name, port in saved.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def save_ports(folder: Path, ports: dict[str, int]) -> None:
    """Save the ports. Called before the servers listen, so that a crash in between does not lose a server."""
    write_private(folder / "stack.json", json.dumps(ports))


LOOPBACK: Final = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; a port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(saved: int | None = None) -> int:
    """The saved port if it is free, else a free one picked by the kernel."""
    if saved and is_free(saved):
        return saved
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
