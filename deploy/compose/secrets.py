"""Make the passwords of docker-compose.yml once, each in a volume that only those mount who need it.

Files that are there already stay as they are: put your own there to use your own servers or passwords.
"""

import secrets
from pathlib import Path

FOLDER = Path("/secrets")


def once(name: str, content: str) -> str:
    """The content of the file, which is made if it is missing."""
    path = FOLDER / name
    if not path.exists():
        # Servers run as users of their own: the volume is what keeps others out, not the mode.
        partial = path.with_suffix(".partial")
        partial.write_text(content, encoding="utf-8")
        partial.chmod(0o444)
        partial.rename(path)
    return path.read_text(encoding="utf-8").strip()


redis, owner, writer = (
    once(name, secrets.token_urlsafe(32)) for name in ("redis/password", "postgres/password", "postgres/writer")
)
once("grafana/password", secrets.token_urlsafe(32))
once("redis/password.conf", f"requirepass {redis}\n")
once("postgres/owner_url", f"postgresql://triagem:{owner}@postgres:5432/triagem\n")
once("triagem/redis_url", f"redis://:{redis}@redis:6379/0\n")
once("triagem/database_url", f"postgresql://worker:{writer}@postgres:5432/triagem\n")
