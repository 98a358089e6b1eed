"""Settings of `triagem ops` and `triagem beat`; parses schedules: `02:00`, `90s`, five cron fields, or `off`."""

import re
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

from celery.schedules import crontab, schedule
from pydantic import AfterValidator, Field

from triagem.contracts.errors import InvalidInput
from triagem.contracts.moments import time_zone
from triagem.process import MetricsSettings, TimezoneSettings

# Celery ignores what follows a range, as in `1-5-7`.
_PART: Final = r"(\*|\w+(-\w+)?)(/\d+)?"
_CRON: Final = re.compile(rf"{_PART}(,{_PART})*( {_PART}(,{_PART})*){{4}}")
_DAY_MINUTES: Final = 24 * 60


def parse_schedule(text: str) -> crontab | schedule | None:
    """`02:00` means daily at that time, `90s` every 90 seconds; None for `off`.

    Five fields are minute, hour, day, month and weekday, as in `0 2 * * mon-fri`; day and weekday must both match.

    Raises:
        ValueError: any other value; the message says what is allowed.
    """
    if text == "off":
        return None
    if match := re.fullmatch(r"([1-9]\d{0,6})s", text):
        return schedule(timedelta(seconds=int(match[1])))
    if re.fullmatch(HOUR, text):
        hour, minute = text.split(":")
        return crontab(minute, hour)
    reason = ""
    if _CRON.fullmatch(" ".join(text.split())):
        minute, hour, day, month, weekday = text.split()
        try:
            return crontab(minute, hour, day_of_week=weekday, day_of_month=day, month_of_year=month)
        except ValueError as error:
            reason = f" ({str(error).rstrip('.')})"
    allowed = "02:00 (daily), 90s, five cron fields such as '0 2 * * mon-fri', or off"
    raise ValueError(f"{text!r} is not a schedule{reason}: use {allowed}")


def shortest_interval(parsed: crontab | schedule) -> timedelta:
    """The shortest time between two runs."""
    if not isinstance(parsed, crontab):
        interval: timedelta = parsed.run_every
        return interval
    minutes = sorted(hour * 60 + minute for hour in parsed.hour for minute in parsed.minute)
    return timedelta(minutes=min(later - now for now, later in pairwise([*minutes, minutes[0] + _DAY_MINUTES])))


# Above the time limit of tasks: Celery ends a task that hangs, which counts as completed.
OPS_ALIVE_S: Final = 240.0
HOUR: Final = r"^([01]\d|2[0-3]):[0-5]\d$"


def _schedule(text: str) -> str:
    parse_schedule(text)
    return text


Schedule = Annotated[str, AfterValidator(_schedule)]


class OpsSettings(TimezoneSettings, used_by="ops, beat"):
    """Settings of the ops tasks. A schedule is `02:00`, `90s`, five cron fields, or `off`."""

    drift_at: Schedule = Field(default="03:00", description="drift check")
    training_due_at: Schedule = Field(
        default="03:30",
        description="check whether training is due; schedule it after drift, whose report it reads",
    )
    retrain_at: Schedule = Field(default="off", description="start of a retraining, if one is due")
    retrain_promote: Literal["propose", "auto"] = Field(
        default="propose",
        description="a scheduled retraining that passes the gate waits for a person (propose), or becomes current",
    )
    predict_retention_s: float = Field(default=3600, ge=60, description="retention of POST /predict texts")
    deliver_every: Schedule = Field(default="5s", description="delivery of results to CRMs")
    alerts_every: Schedule = Field(default="10s", description="delivery of alert messages")
    monitor_every: Schedule = Field(default="60s", description="system health check for system alerts")
    reclassify_at: Schedule = Field(default="02:00", description="start of the nightly reclassification run")
    reclassify_every: Schedule = Field(default="5s", description="interval in which an active run makes progress")
    reclassify_until: str | None = Field(
        default=None,
        pattern=HOUR,
        description="HH:MM, when the nightly run pauses; default: it runs until it is done",
    )
    beat_schedule: Path | None = Field(
        default=None,
        description="file with the last run times, to catch up on missed tasks after a restart; default: none",
    )
    ops_heartbeat_file: Path | None = Field(
        default=None, description="heartbeat file that `triagem ops --check` reads"
    )
    outage_s: float = Field(
        default=120, gt=0, description="an alert is sent if Redis or Postgres did not answer for this long"
    )
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)


def next_occurrence(hour: str | None, zone: str, now: datetime) -> datetime | None:
    """The next time that it is `hour` (HH:MM) in this time zone. Raises InvalidInput if it is not a time of day."""
    if hour is None:
        return None
    if not re.fullmatch(HOUR, hour):
        raise InvalidInput(f"--until {hour!r}: expected a time of day like 06:00")
    hours, minutes = map(int, hour.split(":"))
    local = now.astimezone(time_zone(zone))
    at = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    # By the local calendar: when clocks change, a day has 23 or 25 hours.
    return at if at > local else (at + timedelta(days=1)).replace(fold=0)
