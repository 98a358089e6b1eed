"""Ticket validation: accepted, normalised and refused values of every field (INV-4)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import NOW, YESTERDAY, fields, offsets
from triagem.contracts.errors import InvalidTicket
from triagem.contracts.moments import EARLIEST_MOMENT
from triagem.contracts.ticket import MAX_METADATA_DEPTH, MAX_TEXT_CHARS, Author, Message, Ticket, accept
from triagem.contracts.wire import encode

SECRET = "o meu cpf"
SURROGATE = f"{SECRET} \ud800"


def nested(depth: int) -> dict[str, Any]:
    """A dictionary in a dictionary, `depth` levels deep."""
    return {"in": nested(depth - 1)} if depth > 1 else {"in": 1}


def self_containing() -> list[Any]:
    """A list that holds itself."""
    itself: list[Any] = []
    itself.append(itself)
    return itself


REFUSED = [
    pytest.param({"text": ""}, "text", id="empty text"),
    pytest.param({"text": " \t\r\n"}, "text", id="white space"),
    pytest.param({"text": "\u2003\xa0"}, "text", id="Unicode's white space"),
    pytest.param({"text": SECRET + "x" * MAX_TEXT_CHARS}, "text", id="too long"),
    pytest.param({"text": SURROGATE}, "text", id="lone surrogate in the text"),
    pytest.param({"source": SURROGATE}, "source", id="lone surrogate in the source"),
    pytest.param({"external_id": SURROGATE}, "external_id", id="lone surrogate in the id"),
    pytest.param({"metadata": {"a": {"b": SURROGATE}}}, "metadata.a.b", id="lone surrogate in metadata"),
    pytest.param({"metadata": {SURROGATE: 1}}, "metadata", id="lone surrogate in a key"),
    pytest.param({SURROGATE: 1}, "a field's name", id="lone surrogate in a field's name"),
    pytest.param({"metadata": {"a": float("nan")}}, "metadata.a", id="nan"),
    pytest.param({"metadata": {"a": [float("inf")]}}, "metadata.a", id="inf"),
    pytest.param({"metadata": {"a": {"b": float("-inf")}}}, "metadata.a.b", id="-inf"),
    pytest.param({"revised_at": float("nan")}, "revised_at", id="nan for a time"),
    pytest.param({"metadata": {"a": 2**63}}, "metadata.a", id="beyond 64 bits"),
    pytest.param({"metadata": {"a": -(2**63) - 1}}, "metadata.a", id="beyond 64 bits, negative"),
    pytest.param({"metadata": nested(MAX_METADATA_DEPTH + 1)}, "metadata" + ".in" * 16, id="nested too deep"),
    pytest.param({"metadata": nested(900)}, "metadata" + ".in" * 16, id="nested beyond recursion"),
    pytest.param({"metadata": {"a": self_containing()}}, "metadata.a", id="nested in itself"),
    pytest.param({"metadata": {"a": "x" * 20_000}}, "metadata", id="too much metadata"),
    pytest.param({"revised_at": datetime(2026, 1, 1)}, "revised_at", id="naive"),
    pytest.param({"revised_at": "2026-01-01T10:00:00"}, "revised_at", id="naive, as text"),
    pytest.param({"revised_at": "2026-01-01"}, "revised_at", id="a day without a time"),
    pytest.param({"revised_at": NOW + timedelta(minutes=5, seconds=1)}, "revised_at", id="ahead"),
    pytest.param({"revised_at": "1999-12-31T23:59:59Z"}, "revised_at", id="before 2000"),
    pytest.param({"revised_at": 0}, "revised_at", id="a number that is not a time, 0"),
    pytest.param({"revised_at": 2025}, "revised_at", id="a number that is not a time, 2025"),
    pytest.param({"revised_at": 20251231}, "revised_at", id="a number that is not a time, 20251231"),
    pytest.param({"revised_at": 202512311405}, "revised_at", id="a number that is not a time, 202512311405"),
    pytest.param({"revised_at": 46022.58}, "revised_at", id="a number that is not a time, 46022.58"),
    pytest.param({"revised_at": "20251231"}, "revised_at", id="a number that is not a time, '20251231'"),
    pytest.param({"revised_at": "0"}, "revised_at", id="a number that is not a time, '0'"),
    pytest.param({"revised_at": "0001-01-01T00:00:00+14:00"}, "revised_at", id="before the calendar"),
    pytest.param({"revised_at": "9999-12-31T23:59:59-14:00"}, "revised_at", id="after the calendar"),
    pytest.param({"revised_at": "ontem"}, "revised_at", id="no time"),
    pytest.param({"source": " "}, "source", id="blank source"),
    pytest.param({"source": "x" * 65}, "source", id="long source"),
    pytest.param({"external_id": ""}, "external_id", id="empty id"),
    pytest.param({"external_id": "x" * 256}, "external_id", id="long id"),
    pytest.param({"external_id": 47.11}, "external_id", id="a fraction for an id"),
    pytest.param({"external_id": True}, "external_id", id="a truth value for an id"),
    pytest.param({"text": None}, "text", id="null for a text"),
    pytest.param({"message": SECRET}, "message", id="text for a message"),
    pytest.param({"message": {"author": "agent"}}, "message.id", id="a message without an id"),
    pytest.param({"author": "agent"}, "message_id", id="an author without a message id"),
    pytest.param({"message": {"id": "1"}, "message_id": "1"}, "message_id", id="a message id twice"),
    pytest.param({"message_id": "1", "author": SECRET}, "message.author", id="an unknown author, short"),
    pytest.param({"message": {"id": " "}}, "message.id", id="an empty message id"),
    pytest.param({"message": {"id": SURROGATE}}, "message.id", id="lone surrogate in a message id"),
    pytest.param({"message": {"id": "1", "author": SECRET}}, "message.author", id="an unknown author"),
    pytest.param({"text": "", "message": {"id": "1"}}, "text", id="a message without a text"),
    pytest.param({"text": SECRET.encode()}, "text", id="bytes for a text"),
    pytest.param({"metadata": {"a": b"x\0"}}, "metadata.a", id="bytes in metadata"),
    pytest.param({"metadata": {b"x\0": 1}}, "metadata", id="bytes for a key"),
    pytest.param({"metadata": [SECRET]}, "metadata", id="a list for metadata"),
    pytest.param({"metadata": {"a": NOW}}, "metadata.a", id="no JSON in metadata"),
    pytest.param({"prioridade": 1}, "prioridade", id="unknown field"),
]


def refusal(changes: dict[str, Any]) -> InvalidTicket:
    """The error for a valid ticket with these changes."""
    with pytest.raises(InvalidTicket) as caught:
        accept(fields() | changes, now=NOW)
    return caught.value


def test_a_valid_ticket_is_accepted_unchanged() -> None:
    good = fields(metadata={"channel": "e-mail", "tags": ["vip", None, 2.5, True]})

    assert accept(good, now=NOW).model_dump() == {**good, "message": None}


@pytest.mark.parametrize(
    ("short", "message"),
    [
        ({"message_id": 12, "author": "agent"}, {"id": "12", "author": "agent"}),
        ({"message_id": "m-1", "author": None}, {"id": "m-1"}),
        ({"message_id": None, "author": None}, None),
    ],
)
def test_message_id_and_author_are_short_for_a_message(short: dict[str, Any], message: dict[str, Any] | None) -> None:
    ticket = {"source": "chat", "external_id": "c-17", "text": "Quanto custa?", "revised_at": NOW}
    assert accept({**ticket, **short}, now=NOW) == accept({**ticket, "message": message}, now=NOW)


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_a_refusal_names_the_field(changes: dict[str, Any], field: str) -> None:
    error = refusal(changes)

    assert error.field == field
    assert str(error) == f"{field}: {error.reason}"


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_a_refusal_is_one_line_that_never_contains_the_input(changes: dict[str, Any], field: str) -> None:
    message = str(refusal({"text": SECRET, **changes}))

    assert SECRET not in message
    assert message.isprintable()


@pytest.mark.parametrize("field", ["source", "external_id", "text"])
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    incomplete = {name: value for name, value in fields().items() if name != field}

    with pytest.raises(InvalidTicket, match=f"^{field}: is missing$"):
        accept(incomplete, now=NOW)


def test_a_field_under_a_wrong_name_is_named_with_the_missing_one() -> None:
    renamed = {"source": "shop", "id": "4711", "body": SECRET, SECRET: "x"}

    with pytest.raises(InvalidTicket, match=r"^external_id: is missing; unknown fields: id, body$"):
        accept(renamed, now=NOW)


def test_a_time_without_an_offset_has_one_reason_as_text_and_as_a_value() -> None:
    texts = ["2026-11-02T09:30:00", datetime(2026, 11, 2, 9, 30)]

    reasons = [refusal({"revised_at": text}).reason for text in texts]

    assert reasons == ["has no offset from UTC"] * 2


def test_a_text_that_is_too_long_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidTicket, match=r"^text: has more than 100,000 characters$"):
        accept(fields(text="x" * 100_001), now=NOW)


@pytest.mark.parametrize("field", ["source", "external_id", "text"])
def test_a_nul_becomes_a_replacement_character(field: str) -> None:
    accepted = accept(fields(**{field: "a\0b"}), now=NOW)

    assert getattr(accepted, field) == "a\ufffdb"


def test_a_nul_in_metadata_becomes_a_replacement_character_in_keys_and_values() -> None:
    accepted = accept(fields(metadata={"a\0": ["\0", {"\0b": "c\0"}]}), now=NOW)

    assert accepted.metadata == {"a\ufffd": ["\ufffd", {"\ufffdb": "c\ufffd"}]}


def test_a_refusal_of_a_value_under_a_key_with_nul_can_itself_be_stored() -> None:
    assert "\0" not in str(refusal({"metadata": {"a\0": 2**64}}))


def test_source_and_external_id_are_stripped() -> None:
    accepted = accept(fields(source=" zendesk\n", external_id="\t4711 "), now=NOW)

    assert (accepted.source, accepted.external_id) == ("zendesk", "4711")


def test_a_text_of_maximum_length_is_accepted() -> None:
    assert len(accept(fields(text="x" * MAX_TEXT_CHARS), now=NOW).text) == MAX_TEXT_CHARS


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0.1, -0.0, 1e308])
def test_a_number_that_json_and_postgres_can_hold_is_accepted(number: float) -> None:
    assert accept(fields(metadata={"a": number}), now=NOW).metadata == {"a": number}


def test_metadata_of_maximum_depth_is_accepted() -> None:
    deepest = nested(MAX_METADATA_DEPTH)

    assert accept(fields(metadata=deepest), now=NOW).metadata == deepest


@pytest.mark.parametrize("moment", [NOW + timedelta(minutes=5), EARLIEST_MOMENT])
def test_a_time_at_either_limit_is_accepted(moment: datetime) -> None:
    assert accept(fields(revised_at=moment), now=NOW).revised_at == moment


@pytest.mark.parametrize(("given", "stored"), [(4711, "4711"), (12.0, "12"), (0, "0"), (10**30, "1" + "0" * 30)])
def test_a_whole_number_as_an_id_becomes_text(given: object, stored: str) -> None:
    assert accept(fields(external_id=given), now=NOW).external_id == stored


def test_null_for_an_optional_field_counts_as_absent() -> None:
    ticket = Ticket.model_validate(fields(revised_at=None, metadata=None))

    assert ticket.metadata == {}
    assert abs(ticket.revised_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_time_is_refused_by_the_instant_not_by_the_wall_clock() -> None:
    tonight_in_tokyo = (NOW + timedelta(minutes=4)).astimezone(timezone(timedelta(hours=9)))

    assert accept(fields(revised_at=tonight_in_tokyo), now=NOW).revised_at == tonight_in_tokyo


@pytest.mark.parametrize("written", ["2026-01-01 10:00:00 UTC", "2026-01-01 07:00 -0300", "2026-01-01 10:00:00+00"])
def test_a_written_time_has_the_forms_that_files_may_have(written: str) -> None:
    assert accept(fields(revised_at=written), now=NOW).revised_at == datetime(2026, 1, 1, 10, tzinfo=UTC)


@given(offsets())
def test_a_time_is_kept_as_the_same_instant_in_utc(zone: timezone) -> None:
    revised_at = accept(fields(revised_at=YESTERDAY.astimezone(zone)), now=NOW).revised_at

    assert (revised_at, revised_at.tzinfo) == (YESTERDAY, UTC)


def test_a_ticket_without_a_time_gets_the_current_time() -> None:
    before = datetime.now(UTC)
    undated = {name: value for name, value in fields().items() if name != "revised_at"}

    assert before <= accept(undated, now=before).revised_at <= datetime.now(UTC)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.datetimes()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(Ticket.model_fields, anything) | {"other": anything},
    ).map(lambda changes: fields(**changes))
)
def test_any_input_is_refused_or_can_be_stored(values: dict[str, Any]) -> None:
    try:
        accepted = accept(values, now=NOW)
    except InvalidTicket as error:
        str(error).encode()
    else:
        assert b"\0" not in encode(accepted)
        assert b"\\u0000" not in encode(accepted)


def test_a_deleted_message_needs_no_text_and_keeps_none() -> None:
    without = {name: value for name, value in fields(message={"id": 7, "deleted": True}).items() if name != "text"}

    deleted = accept(without, now=NOW)

    assert deleted == accept(without | {"text": SECRET}, now=NOW)
    assert deleted.text == ""
    assert deleted.message == Message(id="7", deleted=True)


def test_a_message_given_as_an_object_is_checked_too() -> None:
    message = Message(id=f"a\0{Author.AGENT}", author=Author.AGENT)

    assert accept(fields(message=message), now=NOW).message == Message(id="a\ufffdagent", author=Author.AGENT)
