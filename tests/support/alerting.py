"""Rules for receivers of a test, and what becomes of messages about alerts."""

from pathlib import Path
from typing import Final

from sqlalchemy import text

from tests.support.back import KEY
from triagem.alerts.rules_file import Rules, load
from triagem.db import Database

RULES: Final = """
[rules.doubtful]
channels = ["team"]
[rules.system]
channels = ["team"]
kinds = ["drift", "retraining-due", "run-ended"]
"""


def rules_file(folder: Path, url: str = "http://127.0.0.1:1", rules: str = RULES, channels: str = "") -> Path:
    """A file with a signed webhook, `team`, and these rules."""
    file = folder / "alerts.toml"
    file.write_text(f"""
allowed_hosts = ["127.0.0.1"]
[channels.team]
type = "webhook"
url = "{url}/hook"
secret = "{KEY}"
{channels}
{rules}
""")
    return file


def made(folder: Path, rules: str = RULES, **more: str) -> Rules:
    """Rules from such a file."""
    return load(rules_file(folder, rules=rules, **more))


def later(database: Database, seconds: int = 3600) -> None:
    """As if so much time had passed since messages were last made."""
    with database.autocommit() as connection:
        connection.execute(
            text("UPDATE alert_targets SET told_at = told_at - make_interval(secs => :s)"), {"s": seconds}
        )
