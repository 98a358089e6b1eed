"""The slice of the environment of runs over stored tickets."""

import re
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.errors import InvalidInput

HOUR: Final = r"^([01]\d|2[0-3]):[0-5]\d$"


class ReclassifySettings(BaseSettings):
    """When the nightly run is to stop until the next night. `OpsSettings` says when it begins."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    timezone: str = "UTC"
    reclassify_until: str | None = Field(default=None, pattern=HOUR, description="HH:MM; default: when it is done")


def next_time(hour: str | None, zone: str, now: datetime) -> datetime | None:
    """When it is that hour next, in that time zone. Raises InvalidInput if it is none."""
    if hour is None:
        return None
    if not re.fullmatch(HOUR, hour):
        raise InvalidInput(f"--until {hour!r}: expected a time of day like 06:00")
    hours, minutes = map(int, hour.split(":"))
    local = now.astimezone(ZoneInfo(zone))
    at = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    # By the local calendar: where clocks change, a night has 23 or 25 hours.
    return at if at > local else (at + timedelta(days=1)).replace(fold=0)
