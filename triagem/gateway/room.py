"""What every endpoint works with, made once at the start and handed to the application."""

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
from triagem.producer.crm import Crm
from triagem.registry import Registry


@dataclass(frozen=True)
class Room:
    """The inbox, the database and the registry, the CRMs that send webhooks, and the clock."""

    inbox: Inbox
    database: Database
    registry: Registry
    settings: GatewaySettings
    crm: Crm = field(default_factory=lambda: Crm({}))
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @property
    def publisher(self) -> Publisher:
        """Puts tickets into the inbox."""
        return Publisher(self.inbox, now=self.now)


async def _room(request: Request) -> Room:
    found = request.app.state.room
    assert isinstance(found, Room)
    return found


InRoom = Annotated[Room, Depends(_room)]
