"""The gateway in this process, with a test client."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.support.builders import NOW
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.gateway.app import create_app
from triagem.gateway.services import GatewaySettings, Services
from triagem.inbox import Inbox
from triagem.producer.crm import CrmConfig, CrmFile
from triagem.registry import Registry


def services(
    database: Database,
    inbox: Inbox,
    *,
    crm: CrmConfig | None = None,
    models: str | Path = "no-models",
    **settings: Any,
) -> Services:
    """Services for the gateway, with a fixed clock."""
    return Services(
        inbox=inbox,
        database=database,
        registry=Registry(models),
        settings=GatewaySettings(**settings),
        crm_file=CrmFile(None, crm),
        now=lambda: NOW,
    )


def client(services: Services, *scopes: Scope) -> TestClient:
    """A client of a new application, with a key of these scopes if any are given."""
    test_client = TestClient(create_app(services), base_url="http://localhost")
    if scopes:
        _, secret = create_key(services.database, "test", scopes)
        test_client.headers["Authorization"] = f"Bearer {secret}"
    return test_client
