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
        # Servers run as different users. So the volume limits access, not the file mode.
        partial = path.with_suffix(".partial")
        partial.write_text(content, encoding="utf-8")
        partial.chmod(0o444)
        partial.rename(path)
    return path.read_text(encoding="utf-8").strip()


owner, writer, gateway, worker, broker = (
    create_once(name, secrets.token_urlsafe(32))
    for name in ("postgres/password", "postgres/writer", "redis/gateway", "redis/worker", "redis/broker")
)
create_once("grafana/password", secrets.token_urlsafe(32))
rules = Path("/users.acl").read_text(encoding="utf-8")
for user, password in {"gateway": gateway, "worker": worker, "broker": broker}.items():
    rules = rules.replace(f"user {user} on ><password>", f"user {user} on >{password}")
create_once("redis/users.acl", rules)
create_once("postgres/owner_url", f"postgresql://triagem:{owner}@postgres:5432/triagem\n")
create_once("gateway/redis_url", f"redis://gateway:{gateway}@redis:6379/0\n")
create_once("triagem/redis_url", f"redis://worker:{worker}@redis:6379/0\n")
create_once("beat/broker_url", f"redis://broker:{broker}@redis:6379/1\n")
for folder in ("gateway", "triagem"):
    create_once(f"{folder}/database_url", f"postgresql://worker:{writer}@postgres:5432/triagem\n")
create_once("triagem/broker_url", f"redis://broker:{broker}@redis:6379/1\n")
