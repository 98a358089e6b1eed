"""Parses schedule settings: `02:00`, `90s`, five cron fields, or `off`."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Final

from celery.schedules import crontab, schedule

from triagem.ops.settings import HOUR

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
