"""The services that endpoints depend on, created once at start-up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from triagem.db import Database
from triagem.gateway.settings import GatewaySettings
from triagem.inbox import Inbox
from triagem.inbox.scaling import ScalingSettings
from triagem.producer import Publisher
from triagem.producer.crm import CrmConfig
from triagem.registry import Registry


@dataclass(frozen=True)
class Services:
    """Inbox, database, model registry, settings, CRM sources and clock."""

    inbox: Inbox
    database: Database
    registry: Registry
    settings: GatewaySettings
    crm: CrmConfig = field(default_factory=lambda: CrmConfig({}))
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @property
    def publisher(self) -> Publisher:
        """Puts tickets into the inbox."""
        return Publisher(self.inbox, now=self.now)


async def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


ServicesDep = Annotated[Services, Depends(_services)]
