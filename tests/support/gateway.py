"""The gateway in this process, and what tests send to it."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.support.builders import NOW
from triagem.db import Database
from triagem.db.keys import Scope, create
from triagem.gateway.app import create_app
from triagem.gateway.room import Room
from triagem.gateway.settings import GatewaySettings
from triagem.inbox import Inbox
from triagem.producer.crm import Crm
from triagem.registry import Registry


def room(
    database: Database, inbox: Inbox, *, crm: Crm | None = None, models: str | Path = "no-models", **settings: Any
) -> Room:
    """Everything an endpoint works with; it is always now."""
    return Room(
        inbox=inbox,
        database=database,
        registry=Registry(models),
        settings=GatewaySettings(**settings),
        crm=crm or Crm({}),
        now=lambda: NOW,
    )


def client(room: Room, *scopes: Scope) -> TestClient:
    """Speaks to an application of its own, with a key of these scopes if there are any."""
    made = TestClient(create_app(room))
    if scopes:
        _, secret = create(room.database, "test", scopes)
        made.headers["Authorization"] = f"Bearer {secret}"
    return made
