"""Reads the times that CRMs and exports write: ISO 8601, day or month first, month names, epoch numbers. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from triagem.contracts.errors import InvalidInput

# No CRM has older messages. A smaller number is a date without separators, a spreadsheet's day number, or 0.
EARLIEST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MAX_CHARS: Final = 100  # characters; no valid time is longer, and parsing a million spaces took a minute
_LATEST_EPOCH_S: Final = 4_102_444_800  # the year 2100; a larger number is in milliseconds

# Names begin like this in English, Portuguese or Spanish.
_MONTHS: Final = {
    "jan": 1, "feb": 2, "fev": 2, "mar": 3, "apr": 4, "abr": 4, "may": 5, "mai": 5, "jun": 6, "jul": 7, "aug": 8,
    "ago": 8, "sep": 9, "set": 9, "oct": 10, "out": 10, "nov": 11, "dec": 12, "dez": 12, "ene": 1, "dic": 12,
}  # fmt: skip
_DAY_NAME: Final = r"(?<![\d/:.-])(?:(?:^|(?<=, ))[^\W\d]{3,}(?:-feira)?\.?,? +)?"
_DAY: Final = r"(?P<day>\d{1,2})(?:º|°|o|st|nd|rd|th)?"
_NAME: Final = r"(?P<name>[^\W\d]{3,})\.?"
_YEAR_FIRST: Final = re.compile(
    r"(?<!\d)(?P<year>\d{4})([-/. ])(?:(?P<month>\d{1,2})|(?P<name>[^\W\d]{3,}))\2(?P<day>\d{1,2})"
)
_COMPACT: Final = re.compile(r"\d{8}t\d{4}(?:\d{2})?(?:[.,]\d+)?(?:z|[+-]\d{2}:?\d{2})?")
_YEAR_LAST: Final = re.compile(_DAY_NAME + r"(?P<first>\d\d?)([-/.])(?P<second>\d\d?)\2(?P<year>\d\d|\d{4})(?!\d)")
_DAY_MONTH: Final = re.compile(
    _DAY_NAME + _DAY + r"[ /.-]+(?:de )?" + _NAME + r",?[ /.-]+(?:de )?(?P<year>\d{4}|\d{2})(?!\d)"
)
_MONTH_DAY: Final = re.compile(_DAY_NAME + _NAME + r"[ /.-]+" + _DAY + r",?[ /.-]+(?P<year>\d{4})")
_YEAR_AT_THE_END: Final = re.compile(r"([^\W\d]+ \d\d?),? (\d\d?:.+) (\d{4})")  # wed dec 31 14:05:00 brt 2025
_CLOCK: Final = re.compile(
    r"(?:,? *(?:t|-|at|às|as)? *)(?P<hour>\d{1,2})[:h.](?P<minute>\d{2})"
    r"(?:(?::|(?<=\.\d\d)\.)(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: *(?P<half>[ap])\.? ?m\b\.?| ?(?:h(?:rs?|s)?|min)\b\.?)?"
)
_OFFSET: Final = re.compile(
    r" *[(\[]?(?:z|utc|gmt|(?:utc|gmt)? *(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?)[)\]]?"
    r"(?: ?[(\[].*[)\]]| [a-z]{3,5})?"
)
_ZONE: Final = re.compile(r" *[(\[]?(?P<name>[a-z]+(?:/[a-z0-9_+-]+)+|[a-z]{2,5}|horário [a-zã ]+brasília)[)\]]?")
# Hours from UTC: names of RFC 5322, Europe and South America. CST, IST, BST, AMT and others name several zones.
_ABBREVIATIONS: Final = {
    "brt": -3, "brst": -2, "horário de brasília": -3, "horário padrão de brasília": -3, "art": -3, "uyt": -3,
    "est": -5, "edt": -4, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7, "wet": 0, "west": 1, "cet": 1, "cest": 2,
}  # fmt: skip
_HALF_DAY: Final = re.compile(r"\d\s*[ap]\.? ?m\b")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:[.,]\d*)?(?:e[+-]?\d+)?")


class DateOrder(StrEnum):
    """The first number of dates such as 03/04/2026."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"


@dataclass(frozen=True, slots=True)
class MomentFormat:
    """Rules for the times of one source.

    `zone` applies to times without an offset, and `order` to dates such as 03/04/2026; if it is missing, these times
    are refused. `pattern`, a format of `datetime.strptime`, replaces all other forms.
    """

    zone: tzinfo | None = None
    order: DateOrder | None = None
    pattern: str | None = None


def read_moment(value: object, format: MomentFormat = MomentFormat()) -> datetime:  # noqa: A002
    """A time as an aware `datetime`.

    Numbers are seconds or, above the year 2100, milliseconds since 1970.

    Raises:
        ValueError: the reason why the time is refused: it is before 2000, has no offset, or the order of its day and
            month is unknown.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and format.pattern:
        moment = datetime.strptime(value.strip(), format.pattern)
    elif isinstance(value, str) and not _NUMBER.fullmatch(value.strip().lower()):
        moment = _written(" ".join(value.split())[:_MAX_CHARS].lower().replace("\u2212", "-"), format)
    else:
        moment = _epoch(value)
    if moment.tzinfo is None:
        if format.zone is None:
            raise ValueError("has no offset from UTC")
        moment = moment.replace(tzinfo=format.zone)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the supported dates") from None
    if moment < EARLIEST_MOMENT:
        raise ValueError("is before the year 2000, or not a time")
    return moment


def time_zone(name: str) -> ZoneInfo:
    """The time zone with this name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone: expected a name like America/Sao_Paulo") from None


def has_numeric_date(value: object) -> bool:
    """Whether a time begins like 29/11/2026, where only some days show which number is the month."""
    return isinstance(value, str) and _YEAR_LAST.search(value) is not None


class DateOrderEvidence:
    """Collects dates such as 31/12/2025 and finds whether a file writes the day or the month first."""

    def __init__(self) -> None:
        self._proofs: dict[DateOrder, int] = {}
        self._undecided = 0
        self._usual: DateOrder | None = None  # with AM or PM; a proof is stronger

    def add(self, line: int, value: object) -> None:
        """Record the time of a line; values that are not times are ignored."""
        match = _YEAR_LAST.search(value) if isinstance(value, str) else None
        if match is None:
            return
        first, second = int(match["first"]), int(match["second"])
        if first > 12 >= second:
            self._proofs.setdefault(DateOrder.DAY_FIRST, line)
        elif second > 12 >= first:
            self._proofs.setdefault(DateOrder.MONTH_FIRST, line)
        elif first != second and _HALF_DAY.search(match.string.lower()):
            self._usual = DateOrder.MONTH_FIRST
        elif first != second and first <= 12:
            self._undecided = self._undecided or line

    def order(self) -> DateOrder | None:
        """The proven order; None without such dates. Raises ValueError if both or none is proven."""
        if len(self._proofs) == 2:
            day, month = self._proofs[DateOrder.DAY_FIRST], self._proofs[DateOrder.MONTH_FIRST]
            raise ValueError(f"line {day} has the day first and line {month} the month first")
        if not self._proofs and not self._usual and self._undecided:
            raise ValueError(f"line {self._undecided} may have the day or the month first, and no line decides it")
        return next(iter(self._proofs), self._usual)


def _epoch(value: object) -> datetime:
    if isinstance(value, str):
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a time")
    if not 0 <= value <= 1000 * _LATEST_EPOCH_S:  # microseconds, 20251231140500, or NaN
        raise ValueError("is a number, but not seconds or milliseconds since 1970")
    return datetime.fromtimestamp(value / 1000 if value > _LATEST_EPOCH_S else value, UTC)


def _written(text: str, format: MomentFormat) -> datetime:  # noqa: A002
    if text[:1] == "[" and text[-1] == "]":  # a chat's [31/12/2025, 14:05]
        text = text[1:-1]
    if _COMPACT.fullmatch(text):  # 20251231T140500Z
        return datetime.fromisoformat(text.upper())
    text = _YEAR_AT_THE_END.sub(r"\1 \3 \2", text)
    for pattern in (_YEAR_FIRST, _YEAR_LAST, _DAY_MONTH, _MONTH_DAY):
        if match := pattern.search(text):
            before = text[: match.start()].rstrip(" ,-")  # 14:05 31/12/2025
            return _with_clock(_date(match.groupdict(), format), before + text[match.end() :])
    raise ValueError("is not a time")


def _date(parts: dict[str, str], format: MomentFormat) -> datetime:  # noqa: A002
    year = int(parts["year"]) + (2000 if len(parts["year"]) == 2 else 0)
    if "first" in parts:
        first, second = int(parts["first"]), int(parts["second"])
        order = format.order
        if order is None and first != second and max(first, second) <= 12:
            raise ValueError("may have the day or the month first: write the year first")
        month_first = order is DateOrder.MONTH_FIRST or (order is None and second > 12)
        month, day = (first, second) if month_first else (second, first)
    else:
        day = int(parts["day"])
        month = int(parts["month"]) if parts.get("month") else _MONTHS.get(parts["name"][:3], 0)
    try:
        return datetime(year, month, day)
    except ValueError:
        if "first" in parts and min(day, month) <= 12:
            raise ValueError("is not a date of the calendar in this order of day and month") from None
        raise ValueError("is not a date of the calendar") from None


def _with_clock(date: datetime, rest: str) -> datetime:
    clock = _CLOCK.match(rest)
    if clock is None:
        if rest:
            raise ValueError("is not a time")
        return date
    hour = int(clock["hour"])
    if half := clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("is not a time of twelve hours")
        hour = hour % 12 + (12 if half == "p" else 0)
    micro = int((clock["fraction"] or "").ljust(6, "0")[:6])
    try:
        moment = date.replace(
            hour=hour, minute=int(clock["minute"]), second=int(clock["second"] or 0), microsecond=micro
        )
    except ValueError:
        raise ValueError("is not a time of the day") from None
    if not rest[clock.end() :]:
        return moment
    if offset := _OFFSET.fullmatch(rest, clock.end()):
        return moment.replace(tzinfo=_zone(offset))
    named = _ZONE.fullmatch(rest, clock.end())
    if named is None:
        raise ValueError("ends with something that is not an offset from UTC")
    name = named["name"]
    if name in _ABBREVIATIONS:
        return moment.replace(tzinfo=timezone(timedelta(hours=_ABBREVIATIONS[name])))
    if name not in _zone_names():
        raise ValueError("names a time zone that does not exist, or several: write an offset such as -03:00")
    return moment.replace(tzinfo=ZoneInfo(_zone_names()[name]))


def _zone(offset: re.Match[str]) -> timezone:
    shift = timedelta(hours=int(offset["hours"] or 0), minutes=int(offset["minutes"] or 0))
    if shift >= timedelta(hours=24):
        raise ValueError("has no valid offset from UTC")
    return timezone(-shift if offset["sign"] == "-" else shift)


@cache
def _zone_names() -> Mapping[str, str]:
    """Names such as America/Sao_Paulo, by their lower case."""
    return {name.lower(): name for name in available_timezones()}


def iso_time(text: str, option: str) -> datetime:
    """A date or time that a person gave as `option`, in UTC unless it has an offset. Raises InvalidInput."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r}: expected a date or time like 2026-11-02 or 2026-11-02T09:30"
        ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
