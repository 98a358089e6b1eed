"""What the stack remembers between runs: its passwords (secrets.json) and its ports (stack.json)."""

import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from triagem.cli.stack.errors import StackFailed
from triagem.cli.stack.files import write_private


@dataclass(frozen=True, repr=False)
class Endpoints:
    """Where the stack's servers are, for `TRIAGEM_REDIS_URL` and its like. Its repr hides the passwords."""

    redis_url: str
    broker_url: str
    database_url: str
    reader_url: str
    writer_url: str

    @property
    def reader_password(self) -> str:
        """What `ensure_reader_login` wants."""
        return urlsplit(self.reader_url).password or ""

    @property
    def writer_password(self) -> str:
        """What `ensure_writer_login` wants."""
        return urlsplit(self.writer_url).password or ""

    def __repr__(self) -> str:
        urls = ", ".join(f"{name}={url!r}" for name, url in asdict(self).items())
        return f"Endpoints({re.sub(r':[^:@/]*@', ':***@', urls)})"


@dataclass(frozen=True, repr=False)
class Secrets:
    """The stack's passwords: URL-safe, made once, kept in a file that only its owner can read."""

    redis: str = field(default_factory=secrets.token_urlsafe)
    owner: str = field(default_factory=secrets.token_urlsafe)
    reader: str = field(default_factory=secrets.token_urlsafe)
    writer: str = field(default_factory=secrets.token_urlsafe)


def secrets_of(folder: Path) -> Secrets:
    """The passwords of the stack in `folder`; new ones, saved, if it has none."""
    path = folder / "secrets.json"
    if not path.exists():
        write_private(path, json.dumps(asdict(Secrets())))
    path.chmod(0o600)
    try:
        known = json.loads(path.read_text())
        # A stack of before workers had a login. Derived, not drawn: two processes that meet it must agree, and one
        # that only looks must not write.
        known.setdefault("writer", hmac.new(known["owner"].encode(), b"writer", "sha256").hexdigest())
        return Secrets(**known)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackFailed(f"{path} is damaged: restore it, or delete {folder} with all its data") from error


def load_ports(folder: Path) -> dict[str, int]:
    """The port that each server had last, by its name; nothing if that is not known."""
    try:
        return {str(name): int(port) for name, port in json.loads((folder / "stack.json").read_text()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def save_ports(folder: Path, ports: dict[str, int]) -> None:
    """Remember the ports, before the servers take them: a crash in between must not lose a server."""
    write_private(folder / "stack.json", json.dumps(ports))
