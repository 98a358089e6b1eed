"""Inbox settings, read from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.ticket import Lane


class InboxSettings(BaseSettings):
    """Redis URL and limits of the inbox. The URL may carry a password, so it never shows in a repr."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    redis_url: SecretStr | None = None
    live_high_water: int = Field(default=1_000_000, ge=1, description="most live entries, waiting and in flight")
    bulk_high_water: int = Field(default=100_000, ge=1, description="most bulk entries, waiting and in flight")
    memory_share: float = Field(
        default=0.8, gt=0, le=1, description="share of maxmemory that producers may fill; workers keep the rest"
    )
    lease_s: float = Field(default=15.0, gt=0, description="seconds without a sign of life until a worker is dead")

    def high_water(self, lane: Lane) -> int:
        """The high-water mark of a lane, in entries."""
        return self.live_high_water if lane is Lane.LIVE else self.bulk_high_water
