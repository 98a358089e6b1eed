"""Times as CRMs and exports write them."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.moments import EARLIEST_MOMENT, DateOrder, MomentFormat, read_moment

SAO_PAULO = MomentFormat(ZoneInfo("America/Sao_Paulo"), DateOrder.DAY_FIRST)
AT_1405 = datetime(2025, 12, 31, 14, 5, tzinfo=UTC)
AT_1705 = datetime(2025, 12, 31, 17, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("31/12/2025 14:05", AT_1705),
        ("31/12/25 14:05", AT_1705),
        ("31.12.2025 14:05:00", AT_1705),
        ("31/12/2025, 14:05", AT_1705),
        ("31/12/2025 às 14:05", AT_1705),
        ("31/12/2025 14h05", AT_1705),
        ("31/12/2025 2:05 PM", AT_1705),
        ("31/12/2025 2:05 p.m.", AT_1705),
        ("2025-12-31 14:05", AT_1705),
        ("2025-12-31T14:05:00", AT_1705),
        ("31 de dezembro de 2025 14:05", AT_1705),
        ("31 dez. 2025 14:05", AT_1705),
        ("quarta-feira, 31 de dezembro de 2025 14:05", AT_1705),
        ("December 31, 2025 at 2:05 PM", AT_1705),
        ("2025-12-31 14:05:00 UTC", AT_1405),
        ("2025-12-31 14:05:00 -0300", AT_1705),
        ("31/12/2025 14:05 America/Sao_Paulo", AT_1705),
        ("2025-12-31T14:05[America/Argentina/Buenos_Aires]", AT_1705),
        ("2025-12-31T14:05:00-03:00[America/Sao_Paulo]", AT_1705),
        ("2025-12-31 14:05:00+00", AT_1405),
        ("31/12/2025 14:05 -03:00", AT_1705),
        ("2025-12-31T14:05:00.000+0000", AT_1405),
        ("2025-12-31T14:05:00Z", AT_1405),
        ("31/12/2025 14:05 (GMT-03:00)", AT_1705),
        ("2025-12-31 14:05:00 +0000 UTC", AT_1405),
        ("2025-12-31T14:05:00\u221203:00", AT_1705),
        ("31/12/2025 14:05h", AT_1705),
        ("31/12/2025\n14:05", AT_1705),
        ("Dec 31, 2025, 2:05\u202fPM", AT_1705),
        ("31/12/2025 14:05 hs", AT_1705),
        ("31/12/2025 2:05 p. m.", AT_1705),
        ("qua., 31/12/2025 14:05", AT_1705),
        ("Wed, 31 Dec 2025 14:05:00 +0000", AT_1405),
        ("Wed Dec 31 2025 14:05:00 GMT-0300 (Horário Padrão de Brasília)", AT_1705),
        ("2025-12-31 14:05 BRT", AT_1705),
        ("31/12/2025 14:05 (BRT)", AT_1705),
        ("2025-12-31 14:05:00 -0300 BRT", AT_1705),
        ("31/12/2025 14:05 (Horário de Brasília)", AT_1705),
        ("Wed Dec 31 14:05:00 BRT 2025", AT_1705),
        ("31/12/2025 9:05 EST", AT_1405),
        ("9:05 EST 31/12/2025", AT_1405),
        ("14:05 31/12/2025", AT_1705),
        ("14h05, 31/12/2025", AT_1705),
        ("2:05 PM, 31 Dec 2025", AT_1705),
        ("14:05, quarta-feira, 31 de dezembro de 2025", AT_1705),
        ("31/dez/2025 14:05", AT_1705),
        ("31.dez.2025 14:05", AT_1705),
        ("31-Dec-25 14:05", AT_1705),
        ("2025/dez/31 14:05", AT_1705),
        ("Dec 31st, 2025 2:05 PM", AT_1705),
        ("1º de janeiro de 2026 00:05", datetime(2026, 1, 1, 3, 5, tzinfo=UTC)),
        ("1767189900", AT_1405),
        (1767189900, AT_1405),
        ("1767189900000", AT_1405),
        (1767189900000, AT_1405),
        ("2025-12-31", datetime(2025, 12, 31, 3, tzinfo=UTC)),
        ("31/12/2025 12:05 AM", datetime(2025, 12, 31, 3, 5, tzinfo=UTC)),
    ],
)
def test_the_forms_of_exports_are_read(value: object, moment: datetime) -> None:
    assert read_moment(value, SAO_PAULO) == moment


def test_dates_with_the_month_first_are_read_in_that_order() -> None:
    assert read_moment("12/31/2025 2:05 PM", MomentFormat(UTC, DateOrder.MONTH_FIRST)) == AT_1405


def test_a_pattern_replaces_the_other_forms() -> None:
    assert read_moment("2025!31!12 14.05", MomentFormat(UTC, pattern="%Y!%d!%m %H.%M")) == AT_1405
    with pytest.raises(ValueError, match="does not match format"):
        read_moment("2025-12-31 14:05", MomentFormat(UTC, pattern="%Y!%d!%m %H.%M"))


@pytest.mark.parametrize(
    "value",
    [0, 2025, 20251231, 202512311405, 46022.58, "0", "2025", "20251231", "202512311405", "46022.58",
     "46022,58", 20251231140500, 1767189900000000, "1999-12-30 23:59", "31/12/1999", "ontem", "", "31/02/2025",
     "99/99/2025", "2025-12-31 25:00", "31/12/2025 13:05 PM",
     "2025-12-31 14:05 +99", "2025-12-31 x", "14:05 31/12/2025 15:00", "7 31/12/2025",
     pytest.param("2025-12-31 10:00" + " " * 1_000_000 + "(", id="a million spaces"),
     True, None, [], float("nan"), "1e400", pytest.param(10**400, id="10**400")],
)  # fmt: skip
def test_a_value_that_no_crm_means_as_a_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_moment(value, SAO_PAULO)


@pytest.mark.parametrize("value", [20251231140500, "1767189900000000"])
def test_a_number_that_is_no_epoch_is_named_so(value: object) -> None:
    with pytest.raises(ValueError, match="is a number, but not seconds or milliseconds since 1970"):
        read_moment(value)


def test_a_time_without_an_offset_is_refused_without_a_zone() -> None:
    for zone in ("America/Sao_Paul", "CST", "IST"):
        with pytest.raises(ValueError, match="names a time zone that does not exist, or several: write an offset"):
            read_moment(f"2025-12-31 14:05 {zone}")
    with pytest.raises(ValueError, match="has no offset from UTC"):
        read_moment("2025-12-31 14:05")


def test_a_date_with_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="may have the day or the month first: write the year first"):
        read_moment("03/04/2026", MomentFormat(UTC))


def test_a_date_that_no_order_explains_is_not_called_one_of_another_order() -> None:
    with pytest.raises(ValueError, match=r"^is not a date of the calendar$"):
        read_moment("32/13/2026", MomentFormat(UTC))


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_iso_time_is_read_as_the_standard_library_reads_it(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    for text in (moment.isoformat(), moment.isoformat(" "), f"{moment:%Y-%m-%d %H:%M:%S.%f %z}"):
        assert read_moment(text) == moment


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_any_value_is_a_time_after_1999_or_refused(value: object) -> None:
    try:
        moment = read_moment(value, SAO_PAULO)
    except ValueError:
        return
    assert moment >= EARLIEST_MOMENT
