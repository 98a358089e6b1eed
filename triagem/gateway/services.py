"""The services that endpoints depend on, created once at start-up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from pydantic import Field, field_validator

from triagem.contracts.model import Manifest
from triagem.db import Database
from triagem.db.labels import review_choices
from triagem.inbox import Inbox
from triagem.inbox.scaling import ScalingSettings
from triagem.inbox.webhook_counts import WebhookCounts
from triagem.producer import Publisher
from triagem.producer.crm import CrmConfig, CrmFile
from triagem.registry import Registry
from triagem.settings import Settings

_RateLimit = Annotated[str, Field(pattern=r"^[1-9]\d{0,8}/(second|minute|hour)$")]


class GatewaySettings(Settings, used_by="gateway", env_prefix="TRIAGEM_GATEWAY_"):
    """`TRIAGEM_GATEWAY_*`."""

    host: str = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=8000, ge=1, le=65535, description="the port to listen on")
    open_predict: bool | None = Field(
        default=None, description="allow /predict without a key; default: only on loopback, without proxies"
    )
    predict_wait_s: float = Field(
        default=2.0, ge=0, description="how long /predict waits for a result before it answers 202"
    )
    max_body_bytes: int = Field(default=8_388_608, ge=1024, description="a larger request body is refused with 413")
    receive_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="how long a request's head may take, and how far its body may lag behind 64 KiB/s",
    )
    send_timeout_s: float = Field(
        default=30.0, gt=0, description="a client that reads nothing of its answer for this time is disconnected"
    )
    keep_alive_s: int = Field(
        default=75,  # longer than the 60 s of usual proxies, which must close an idle connection first
        ge=1,
        description="how long an idle connection stays open; set it above the proxy's own idle timeout",
    )
    max_connections: int = Field(
        default=500,  # the usual limit of 1,024 open files must also cover connections to Redis and Postgres
        ge=1,
        description="maximum number of open connections",
    )
    max_connections_per_client: int = Field(
        default=100,
        ge=1,
        description="maximum of open connections per IPv4 address or IPv6 /64; behind a proxy, of open requests",
    )
    trusted_proxies: str = Field(
        default="", description="trusted proxies, as addresses or networks: their X-Forwarded-For and -Proto are used"
    )
    rate_limit: _RateLimit = Field(default="1000/second", description="requests per key, counted by each process")
    failed_key_limit: _RateLimit = Field(
        default="20/minute", description="unknown keys per client and process, and per first 8 characters of a key"
    )
    webhook_rate_limit: _RateLimit = Field(
        default="100/second", description="webhooks per source, counted by each process"
    )
    idempotency_s: int = Field(default=86_400, ge=1, description="how long an Idempotency-Key is remembered")
    key_cache_s: float = Field(default=10.0, ge=0, description="how long a revoked key may still be accepted")

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: str) -> str:
        return " ".join(str(ip_network(proxy, strict=False)) for proxy in proxies.replace(",", " ").split())

    @property
    def predict_is_open(self) -> bool:
        """Whether /predict needs no key."""
        if self.open_predict is None:
            return is_loopback(self.host) and not self.trusted_proxies
        return self.open_predict


@dataclass(frozen=True)
class Services:
    """Inbox, database, model registry, settings, the CRM file and clock."""

    inbox: Inbox
    database: Database
    registry: Registry
    settings: GatewaySettings
    crm_file: CrmFile = field(default_factory=lambda: CrmFile(None))
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @cached_property
    def webhook_counts(self) -> WebhookCounts:
        """Counts webhooks without a ticket."""
        return WebhookCounts(self.inbox.redis)

    @property
    def crm(self) -> CrmConfig:
        """The current content of the CRM file."""
        return self.crm_file.read()

    @property
    def publisher(self) -> Publisher:
        """Puts tickets into the inbox."""
        return Publisher(self.inbox, now=self.now)

    def current_version(self) -> str | None:
        """The version that workers should run; None before the first promotion."""
        current = self.registry.find_current()
        return current.version if current else None

    def current_manifest(self) -> Manifest | None:
        """The manifest of the current version; None before the first promotion."""
        version = self.current_version()
        return None if version is None else self.registry.manifest(version)

    def known_labels(self) -> list[str]:
        """The current model's labels, then labels that reviewers added; without retired ones."""
        return review_choices(self.database, self.registry.current_labels())


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


def is_loopback(host: str) -> bool:
    """Whether the host is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
