"""For any webhook an adapter returns an outcome, and tickets that it accepts are valid."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.crm import (
    CHATWOOT,
    FRESHDESK,
    FRONT,
    HELPSCOUT,
    HUBSPOT,
    INTERCOM,
    NOW,
    SALESFORCE,
    SOURCES,
    ZAMMAD,
    ZENDESK,
    example,
    parse_webhook,
)
from triagem.contracts.ticket import Ticket, accept
from triagem.contracts.wire import decode, encode
from triagem.producer.crm import AcceptedWebhook, IgnoredWebhook, Source, UnreadableWebhook

HOSTILE = st.text() | st.sampled_from(
    [
        "\0",
        "\ud800",
        "\u202eevil",
        "x" * 100_001,
        "'; DROP TABLE tickets;--",
        "<script>",
        "{{7*7}}",
        "\u2028",
        " ",
        "",
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HOSTILE, inner, max_size=4),
    max_leaves=8,
)
PAYLOADS = [
    (ZENDESK, "zendesk_ticket_created"),
    (ZENDESK, "zendesk_comment_added"),
    (ZENDESK, "zendesk_trigger"),
    (CHATWOOT, "chatwoot_message_created"),
    (CHATWOOT, "chatwoot_conversation_created"),
    (CHATWOOT, "chatwoot_conversation_updated"),
    (FRESHDESK, "freshdesk_replied"),
    (HUBSPOT, "hubspot_events"),
    (SALESFORCE, "salesforce_flow"),
    (ZAMMAD, "zammad_article"),
    (INTERCOM, "intercom_user_created"),
    (INTERCOM, "intercom_user_replied"),
    (HELPSCOUT, "helpscout_customer_reply"),
    (FRONT, "front_inbound"),
]


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a payload."""
    yield prefix
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths(child, (*prefix, key))


def replace_at(payload: Any, path: tuple[Any, ...], value: object) -> Any:
    """A payload with the value at a path replaced."""
    if not path:
        return value
    parent = payload = copy.deepcopy(payload)
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return payload


def check(outcome: object) -> None:
    """The outcome is a value. A reason is one short line. A ticket stays equal after validation and encoding."""
    assert isinstance(outcome, AcceptedWebhook | IgnoredWebhook | UnreadableWebhook)
    reasons = outcome.unread if isinstance(outcome, AcceptedWebhook) else (outcome.reason,)
    for reason in reasons:
        assert reason
        assert len(reason) < 250
        assert reason.isprintable()
    for ticket in outcome.tickets if isinstance(outcome, AcceptedWebhook) else ():
        assert accept(ticket.model_dump(), now=NOW) == ticket
        assert decode(encode(ticket)) == ticket


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@settings(deadline=None)
@given(st.binary())
def test_no_bytes_break_an_adapter(source: Source, body: bytes) -> None:
    check(parse_webhook(body, source))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@settings(deadline=None)
@given(ANYTHING)
def test_no_json_breaks_an_adapter(source: Source, payload: object) -> None:
    check(parse_webhook(payload, source))


@pytest.mark.parametrize(("source", "name"), PAYLOADS, ids=[name for _, name in PAYLOADS])
@settings(deadline=None)
@given(data=st.data())
def test_no_value_at_any_path_of_a_payload_breaks_its_adapter(source: Source, name: str, data: st.DataObject) -> None:
    payload = example(name)
    path = data.draw(st.sampled_from(list(paths(payload))))

    check(parse_webhook(replace_at(payload, path, data.draw(ANYTHING)), source))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"NaN",
        b"\xff\xfe",
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"null",
    ],
    ids=["brackets", "objects", "digits", "nan", "utf-16", "surrogate", "mark", "null"],
)
def test_no_known_malicious_body_breaks_an_adapter(source: Source, body: bytes) -> None:
    check(parse_webhook(body, source))


def test_a_nul_is_replaced_as_everywhere() -> None:
    outcome = parse_webhook(json.dumps({**example("zendesk_trigger"), "message": "a\0b"}).encode(), ZENDESK)

    assert isinstance(outcome, AcceptedWebhook)
    (ticket,) = outcome.tickets
    assert isinstance(ticket, Ticket)
    assert ticket.text.endswith("\na\ufffdb")
