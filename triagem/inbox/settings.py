"""Inbox settings, read from the environment."""

from pydantic import Field, SecretStr

from triagem.contracts.ticket import Lane
from triagem.settings import Settings


class InboxSettings(Settings, used_by="gateway, worker, ops, commands, `triagem.Publisher`"):
    """Redis URL and limits of the inbox. The URL may carry a password, so it never shows in a repr."""

    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://, or rediss:// for TLS (?ssl_ca_certs=…); commands without it use the local stack",
    )
    live_high_water: int = Field(
        default=1_000_000,
        ge=1,
        description="maximum entries of the live lane, waiting and in flight; then producers wait",
    )
    bulk_high_water: int = Field(
        default=100_000,
        ge=1,
        description="maximum entries of the bulk lane, waiting and in flight; then producers wait",
    )
    memory_share: float = Field(
        default=0.8, gt=0, le=1, description="share of maxmemory that producers may fill; workers keep the rest"
    )
    lease_s: float = Field(
        default=15.0, gt=0, description="seconds without a sign of life after which a worker counts as dead"
    )

    def high_water(self, lane: Lane) -> int:
        """The high-water mark of a lane, in entries."""
        return self.live_high_water if lane is Lane.LIVE else self.bulk_high_water
