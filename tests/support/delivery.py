"""A CRM file that sends results to test receivers, and access to the stored deliveries."""

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from tests.support.receiver import ReceivedRequest
from triagem.db import Database
from triagem.db.outbox.deliveries import list_deliveries

KEY: Final = base64.b64encode(b"k" * 32).decode()
TOKEN: Final = "a-token-of-twenty-chars"


def crm_file(folder: Path, *, callback: str = "", zendesk: str = "", chatwoot: str = "", field: str = "") -> Path:
    """A file with a source of each adapter; results are sent to these URLs."""
    called = f'callback = {{ url = "{callback}/hook", secret = "{KEY}" }}' if callback else ""
    tags = f'tags = {{ url = "{zendesk}", user = "bot@example.com", token = "zendesk-token" }}' if zendesk else ""
    labels = f'labels = {{ url = "{chatwoot}", token = "chatwoot-token" }}' if chatwoot else ""
    written = f'field = {{ url = "{field}", token = "field-token" }}' if field else ""
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
[zammad]
token = "{TOKEN}"
{written}
[intercom]
token = "{TOKEN}"
{written}
[helpscout]
token = "{TOKEN}"
{called}
[front]
token = "{TOKEN}"
{called}
[salesforce]
adapter = "generic"
token = "{TOKEN}"
fields = {{ external_id = "Id", text = ["Subject", "Description"], revised_at = "LastModifiedDate" }}
{called}
""")
    return file


def make_due(database: Database) -> None:
    """Make waiting deliveries due now: end their backoff and their leases."""
    with database.autocommit() as connection:
        connection.execute(text("UPDATE deliveries SET next_at = now(), leased_until = NULL WHERE state = 'waiting'"))


def delivery_states(database: Database) -> list[tuple[str, str, int]]:
    """Target, state and attempts of each delivery, oldest first."""
    deliveries = list_deliveries(database, limit=1000)
    return [(delivery.target, str(delivery.state), delivery.attempts) for delivery in reversed(deliveries)]


def verified_data(request: ReceivedRequest) -> dict[str, Any]:
    """The data of a signed callback, after checking its signature as a receiver would."""
    headers = request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    signed = base64.b64encode(hmac.new(b"k" * 32, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signed}"
    data = dict(request.document["data"])
    assert data["id"] == headers["webhook-id"]
    return data
