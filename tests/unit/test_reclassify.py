"""Filters and pause times of a reclassification run, as people write them."""

from datetime import UTC, datetime

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.ops.reclassify import parse_run_filters
from triagem.ops.settings import next_occurrence


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", {}),
        ("label=venda", {"label": "venda"}),
        ("source=zendesk, band=review", {"source": "zendesk", "band": "review"}),
        ("model!=current", {"not_model": "v1.2.0"}),
        ("model=current", {"model": "v1.2.0"}),
        ("model=v1.0.0", {"model": "v1.0.0"}),
        ("cleaning=changed", {"cleaning": "changed"}),
        ("since=2026-11-02", {"since": "2026-11-02T00:00:00+00:00"}),
        ("until=2026-11-02T09:30-03:00", {"until": "2026-11-02T09:30:00-03:00"}),
    ],
)
def test_filters_are_read(where: str, expected: dict[str, str]) -> None:
    assert parse_run_filters(where, "v1.2.0") == expected


@pytest.mark.parametrize(
    "where",
    [
        "label",
        "label=",
        "colour=red",
        "source!=zendesk",
        "since=yesterday",
        "label=a,label=b",
        "cleaning=x",
        "=",
        "1=1",
    ],
)
def test_an_invalid_filter_is_refused_in_one_line(where: str) -> None:
    with pytest.raises(InvalidInput, match="--where") as caught:
        parse_run_filters(where, "v1.2.0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("hour", "zone", "now", "expected"),
    [
        ("06:00", "UTC", "2026-11-22T02:00", "2026-11-22T06:00"),
        ("06:00", "UTC", "2026-11-22T06:00", "2026-11-23T06:00"),
        ("06:00", "America/Sao_Paulo", "2026-11-22T05:00", "2026-11-22T09:00"),
        # Clocks go forward at 01:00 UTC: the night is an hour shorter. Then back: an hour longer.
        ("06:00", "Europe/Lisbon", "2026-03-28T22:00", "2026-03-29T05:00"),
        ("06:00", "Europe/Lisbon", "2026-10-24T21:00", "2026-10-25T06:00"),
    ],
)
def test_a_run_pauses_at_the_next_occurrence_of_the_hour_in_the_time_zone(
    hour: str, zone: str, now: str, expected: str
) -> None:
    pause_at = next_occurrence(hour, zone, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert pause_at is not None
    assert pause_at.astimezone(UTC).isoformat()[:16] == expected


def test_without_an_hour_a_run_does_not_pause() -> None:
    assert next_occurrence(None, "UTC", datetime.now(UTC)) is None


def test_an_invalid_hour_is_refused() -> None:
    with pytest.raises(InvalidInput, match="06:00"):
        next_occurrence("6", "UTC", datetime.now(UTC))
