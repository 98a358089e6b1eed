"""The gateway in this process, and keys to it."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from db import Database
from db.keys import Scope, create
from gateway.app import create_app
from gateway.room import Room
from gateway.settings import GatewaySettings
from inbox import Inbox
from registry import Registry


def room(database: Database, inbox: Inbox, models: Path, **settings: Any) -> Room:
    """What endpoints work with, on the tests' servers."""
    return Room(inbox, database, Registry(models), GatewaySettings.model_validate(settings))


def client(made: Room, *scopes: Scope, reraise: bool = True) -> TestClient:
    """A caller whose key has these scopes; without scopes it has no key."""
    headers = {"Authorization": f"Bearer {create(made.database, 'test', scopes)[1]}"} if scopes else {}
    return TestClient(create_app(made), headers=headers, raise_server_exceptions=reraise)
