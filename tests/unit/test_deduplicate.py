"""Deduplication of a window: one row per identity (INV-12), the one of the highest rank (INV-14)."""

from datetime import timedelta
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import NOW, YESTERDAY, classified
from triagem.db.tickets.window import ClassifiedTicket, deduplicate

LATER = YESTERDAY + timedelta(microseconds=1)

windows = st.lists(
    st.builds(
        classified,
        source=st.sampled_from(["zendesk", "Zendesk", "é"]),
        external_id=st.sampled_from(["1", "10", "2"]),
        revised_at=st.sampled_from([YESTERDAY, LATER]),
        arrival=st.integers(1, 3),
        epoch=st.integers(1, 3),
        received_at=st.sampled_from([YESTERDAY, NOW]),
    ),
    max_size=12,
)


def identity(row: ClassifiedTicket) -> tuple[str, str]:
    """The identity of the row's ticket."""
    return row.ticket.source, row.ticket.external_id


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        pytest.param(
            classified(revised_at=YESTERDAY, digest=b"b", epoch=9), classified(revised_at=LATER), id="later revision"
        ),
        pytest.param(classified(arrival=1, epoch=9), classified(arrival=2, epoch=1), id="arrival breaks the tie"),
        pytest.param(classified(epoch=1), classified(epoch=2), id="later promotion"),
    ],
)
def test_the_highest_rank_wins_whichever_came_first(lower: ClassifiedTicket, higher: ClassifiedTicket) -> None:
    assert deduplicate([lower, higher]) == deduplicate([higher, lower]) == [higher]


@given(windows)
def test_one_row_per_identity_is_left(window: list[ClassifiedTicket]) -> None:
    left = [identity(row) for row in deduplicate(window)]

    assert len(left) == len(set(left))
    assert set(left) == {identity(row) for row in window}


@given(windows)
def test_no_row_outranks_the_one_that_is_left(window: list[ClassifiedTicket]) -> None:
    left = {identity(row): row for row in deduplicate(window)}

    assert all(row.rank <= left[identity(row)].rank for row in window)


@given(windows)
def test_the_first_receipt_of_a_ticket_is_kept(window: list[ClassifiedTicket]) -> None:
    for row in deduplicate(window):
        assert row.received_at == min(other.received_at for other in window if identity(other) == identity(row))


@given(windows)
def test_rows_come_in_the_order_in_which_every_statement_locks(window: list[ClassifiedTicket]) -> None:
    locked = [tuple(part.encode() for part in identity(row)) for row in deduplicate(window)]

    assert locked == sorted(locked)


@given(st.data(), windows)
def test_the_order_of_a_window_changes_nothing(data: st.DataObject, window: list[ClassifiedTicket]) -> None:
    shuffled = data.draw(st.permutations(window))

    assert deduplicate(shuffled) == deduplicate(window)


@given(windows)
def test_deduplicating_again_changes_nothing(window: list[ClassifiedTicket]) -> None:
    assert deduplicate(deduplicate(window)) == deduplicate(window)


def test_tickets_of_two_crms_with_one_id_are_two_tickets() -> None:
    window = [classified(source="zendesk"), classified(source="hubspot")]

    assert list(map(attrgetter("ticket.source"), deduplicate(window))) == ["hubspot", "zendesk"]


def test_an_empty_window_stays_empty() -> None:
    assert deduplicate([]) == []
