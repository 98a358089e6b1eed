"""A CRM file for receivers of a test, and what becomes of deliveries."""

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from tests.support.receiver import Came
from triagem.db import Database
from triagem.db.deliveries import deliveries

KEY: Final = base64.b64encode(b"k" * 32).decode()
TOKEN: Final = "a-token-of-twenty-chars"


def crm_file(folder: Path, *, callback: str = "", zendesk: str = "", chatwoot: str = "") -> Path:
    """A file with a source of each adapter; results go back to these addresses."""
    called = f'callback = {{ url = "{callback}/hook", secret = "{KEY}" }}' if callback else ""
    tags = f'tags = {{ url = "{zendesk}", user = "bot@example.com", token = "zendesk-token" }}' if zendesk else ""
    labels = f'labels = {{ url = "{chatwoot}", token = "chatwoot-token" }}' if chatwoot else ""
    file = folder / "crm.toml"
    file.write_text(f"""
allowed_hosts = ["127.0.0.1"]
[zendesk]
token = "{TOKEN}"
{tags}
[chatwoot]
token = "{TOKEN}"
account_id = 1
{labels}
[freshdesk]
token = "{TOKEN}"
{called}
[salesforce]
adapter = "generic"
token = "{TOKEN}"
fields = {{ external_id = "Id", text = ["Subject", "Description"], revised_at = "LastModifiedDate" }}
{called}
""")
    return file


def hurry(database: Database) -> None:
    """As if the pauses were over, and the leases."""
    with database.autocommit() as connection:
        connection.execute(text("UPDATE deliveries SET next_at = now(), leased_until = NULL WHERE state = 'waiting'"))


def states(database: Database) -> list[tuple[str, str, int]]:
    """Target, state and attempts of each delivery, oldest first."""
    found = deliveries(database, limit=1000)
    return [(one.target, str(one.state), one.attempts) for one in reversed(found)]


def data(came: Came) -> dict[str, Any]:
    """What a signed callback tells, once its signature has been checked as a receiver would, by hand."""
    sent = came.headers
    content = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + came.body
    signed = base64.b64encode(hmac.new(b"k" * 32, content, hashlib.sha256).digest()).decode()
    assert sent["webhook-signature"] == f"v1,{signed}"
    told = dict(came.document["data"])
    assert told["id"] == sent["webhook-id"]
    return told
