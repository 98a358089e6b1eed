"""The wire format of a ticket: encoding is reversible, and only encoded tickets decode to a ticket."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.builders import fields, ticket, tickets
from triagem.contracts.errors import UnreadableEntry
from triagem.contracts.ticket import Identity, Ticket
from triagem.contracts.wire import StoredTicketRef, decode, decode_identity, decode_ref, encode, encode_ref

SECRET = "o meu cpf"


def payload(**changes: Any) -> bytes:
    """A valid payload with these changes; None leaves a field out."""
    encoded = {"v": 1, **fields(revised_at="2026-11-21T12:00:00Z", text=SECRET), **changes}
    return json.dumps({name: value for name, value in encoded.items() if value is not None}).encode()


def refusal(encoded: bytes) -> str:
    """Why a payload is unreadable; empty if it can be read."""
    try:
        decode(encoded)
    except UnreadableEntry as error:
        return str(error)
    return ""


anything = st.recursive(
    st.sampled_from([SECRET, None, 1, 2**64, 0.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(tickets())
def test_a_ticket_survives_encoding_unchanged(original: Ticket) -> None:
    assert decode(encode(original)) == original


@given(tickets())
def test_a_payload_is_json_with_the_wire_version_in_front(original: Ticket) -> None:
    assert encode(original).startswith(b'{"v":1,')
    whole = set() if original.message else {"message"}
    assert json.loads(encode(original)).keys() == {"v", *Ticket.model_fields} - whole


@given(st.binary() | st.text().map(str.encode) | st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"v":1,"a":' * 10_000)
@example(b'{"v":1,"source":' + b"9" * 10_000 + b"}")
def test_any_other_bytes_are_unreadable(arbitrary: bytes) -> None:
    with pytest.raises(UnreadableEntry):
        decode(arbitrary)


@given(st.data())
def test_a_damaged_payload_is_a_ticket_or_unreadable(data: st.DataObject) -> None:
    encoded = encode(ticket(text=SECRET))
    position = data.draw(st.integers(0, len(encoded)))
    damaged = (
        encoded[:position] + data.draw(st.binary(max_size=3)) + encoded[position + data.draw(st.integers(0, 3)) :]
    )

    assert SECRET not in refusal(damaged)


@given(st.dictionaries(st.sampled_from([*Ticket.model_fields, "other"]), anything))
def test_a_refusal_never_holds_a_value(values: dict[str, Any]) -> None:
    assert SECRET not in refusal(payload(**values))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"v": 2}, "the payload's wire version is not 1", id="later wire version"),
        pytest.param({"v": None}, "the payload is not an entry of Triagem: it has no field v", id="no wire version"),
        pytest.param({"source": None}, "source: is missing", id="no source"),
        pytest.param({"revised_at": None}, "revised_at: is missing", id="no time"),
        pytest.param({"priority": SECRET}, "priority: is not a known field", id="unknown field"),
        pytest.param({"metadata": SECRET}, "metadata: must be an object with named fields", id="wrong type"),
        pytest.param({"metadata": {"a": 2**63}}, "metadata.a: is an integer beyond 64 bits", id="unstorable"),
        pytest.param({"text": " "}, "text: is only white space", id="blank"),
    ],
)
def test_an_unreadable_entry_says_why_without_the_text(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        decode(payload(**changes))

    assert str(caught.value) == reason


@pytest.mark.parametrize("encoded", [b"null", b"1", b'"text"', b"[]", b"[1]"])
def test_json_that_is_not_an_object_is_unreadable(encoded: bytes) -> None:
    with pytest.raises(UnreadableEntry, match="not an entry of Triagem"):
        decode(encoded)


def test_a_reason_can_be_stored_whatever_the_payload_holds() -> None:
    with pytest.raises(UnreadableEntry) as caught:
        decode(payload(metadata={"a\0": 2**64}))

    assert "\0" not in str(caught.value)


def test_the_order_of_fields_and_white_space_do_not_matter() -> None:
    encoded = json.loads(encode(ticket()))
    reordered = json.dumps(dict(reversed(encoded.items())), indent=2).encode()

    assert decode(reordered) == ticket()


@given(tickets())
def test_a_decodable_payload_has_the_identity_of_its_ticket(original: Ticket) -> None:
    assert decode_identity(encode(original)) == (original.source, original.external_id)


@pytest.mark.parametrize("name", ["a\0b", " 4711\u2003", "\x1f4711"])
def test_an_identity_is_normalised_as_by_validation(name: str) -> None:
    encoded = payload(source=name, external_id=name)

    assert decode_identity(encoded) == (decode(encoded).source, decode(encoded).external_id)


@pytest.mark.parametrize(
    "encoded",
    [
        payload(v=2),
        payload(text=None),
        payload(external_id=4711),
        payload(external_id=" 4711 "),
        payload(metadata="none"),
        payload()[:-5],
        payload(text="x" * 200_000),
    ],
    ids=["version", "no text", "a number", "space", "no metadata", "cut short", "too long"],
)
def test_an_unreadable_payload_may_still_have_an_identity(encoded: bytes) -> None:
    assert decode_identity(encoded) == Identity("zendesk", "4711")


@pytest.mark.parametrize(
    "encoded", [b"", b"\xff", b"[]", b"7", payload(source=None), payload(source=[]), payload(source=" ")]
)
def test_a_payload_without_valid_identity_fields_has_no_identity(encoded: bytes) -> None:
    assert decode_identity(encoded) is None


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"source":"a","external_id":' + b"9" * 10_000 + b"}")
def test_any_bytes_can_be_searched_for_an_identity(arbitrary: bytes) -> None:
    assert decode_identity(arbitrary) is None


@given(st.dictionaries(st.sampled_from([SECRET, f"{SECRET}.b", "a\n", "9" * 11, "x" * 41]), anything, min_size=1))
def test_a_refusal_never_holds_a_fields_name_that_may_be_a_text(values: dict[str, Any]) -> None:
    for encoded in (payload(**values), payload(metadata={**values, "b": 2**64})):
        message = refusal(encoded)
        assert [name for name in (*values, SECRET) if name in message] == []


@given(st.dictionaries(st.text() | st.sampled_from([*Ticket.model_fields, "v"]), json_values))
def test_any_json_object_is_a_ticket_or_unreadable(values: dict[str, Any]) -> None:
    encoded = json.dumps({"v": 1, **values}).encode(errors="surrogatepass")

    if not refusal(encoded):
        assert decode(encode(decode(encoded))) == decode(encoded)


@given(st.builds(StoredTicketRef, st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.binary(max_size=32)))
def test_a_claim_check_survives_encoding_and_is_unreadable_as_a_ticket(
    ref: StoredTicketRef,
) -> None:
    assert decode_ref(encode_ref(ref)) == ref
    assert refusal(encode_ref(ref)) == "the payload's wire version is not 1"


@given(st.data())
def test_a_damaged_claim_check_is_none_or_unreadable(data: st.DataObject) -> None:
    encoded = encode_ref(StoredTicketRef(1, 2, b"digest"))
    position = data.draw(st.integers(0, len(encoded)))
    with suppress(UnreadableEntry):
        decode_ref(
            encoded[:position] + data.draw(st.binary(max_size=3)) + encoded[position + data.draw(st.integers(0, 3)) :]
        )


def test_a_ticket_is_not_a_claim_check() -> None:
    assert decode_ref(encode(ticket())) is None
