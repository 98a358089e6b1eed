"""Alert rules for a test receiver, and control of the digest interval."""

from pathlib import Path
from typing import Final

from sqlalchemy import text

from tests.support.delivery import KEY
from triagem.db import Database
from triagem.notify.alert_rules import AlertRules, load

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


def load_rules(folder: Path, rules: str = RULES, **more: str) -> AlertRules:
    """Load rules from a file of `rules_file`."""
    return load(rules_file(folder, rules=rules, **more))


def age_digests(database: Database, seconds: int = 3600) -> None:
    """Pretend that the last digests were created `seconds` earlier."""
    with database.autocommit() as connection:
        connection.execute(
            text("UPDATE alert_subscriptions SET last_digest_at = last_digest_at - make_interval(secs => :s)"),
            {"s": seconds},
        )
