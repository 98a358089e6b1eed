"""Reclassification settings, read from the environment."""

import re
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.errors import InvalidInput

HOUR: Final = r"^([01]\d|2[0-3]):[0-5]\d$"


class ReclassifySettings(BaseSettings):
    """The hour at which the nightly run pauses until the next night. `OpsSettings` has its start."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    timezone: str = "UTC"
    reclassify_until: str | None = Field(
        default=None, pattern=HOUR, description="HH:MM; default: runs until it is done"
    )


def next_occurrence(hour: str | None, zone: str, now: datetime) -> datetime | None:
    """The next time that it is `hour` (HH:MM) in this time zone. Raises InvalidInput if it is not a time of day."""
    if hour is None:
        return None
    if not re.fullmatch(HOUR, hour):
        raise InvalidInput(f"--until {hour!r}: expected a time of day like 06:00")
    hours, minutes = map(int, hour.split(":"))
    local = now.astimezone(ZoneInfo(zone))
    at = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    # By the local calendar: when clocks change, a day has 23 or 25 hours.
    return at if at > local else (at + timedelta(days=1)).replace(fold=0)
