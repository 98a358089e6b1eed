"""Create the passwords of docker-compose.yml once, each in a volume that only the services that need it mount.

Existing files are kept: put your own there to use your own servers or passwords.
"""

import secrets
from pathlib import Path

FOLDER = Path("/secrets")


def create_once(name: str, content: str) -> str:
    """The content of the file, which is created if missing."""
    path = FOLDER / name
    if not path.exists():
        # Servers run as different users: access is limited by the volume, not by the file mode.
        partial = path.with_suffix(".partial")
        partial.write_text(content, encoding="utf-8")
        partial.chmod(0o444)
        partial.rename(path)
    return path.read_text(encoding="utf-8").strip()


redis, owner, writer = (
    create_once(name, secrets.token_urlsafe(32))
    for name in ("redis/password", "postgres/password", "postgres/writer")
)
create_once("grafana/password", secrets.token_urlsafe(32))
create_once("redis/password.conf", f"requirepass {redis}\n")
create_once("postgres/owner_url", f"postgresql://triagem:{owner}@postgres:5432/triagem\n")
create_once("triagem/redis_url", f"redis://:{redis}@redis:6379/0\n")
create_once("triagem/database_url", f"postgresql://worker:{writer}@postgres:5432/triagem\n")
