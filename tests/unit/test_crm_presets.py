"""Presets for CRMs: Zammad, Intercom, Help Scout and Front are read with fields that any CRM's table may set."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.crm import (
    EXAMPLES,
    FRONT,
    HELPSCOUT,
    INTERCOM,
    NOW,
    SECRET,
    TOKEN,
    ZAMMAD,
    example,
    ignored,
    receive_webhook,
    ticket,
    unmatched,
    unreadable,
)
from triagem.producer.crm import AcceptedWebhook, RefusedWebhook, Source, Webhook
from triagem.producer.crm.settings import make_source, presets

WITHOUT_TEXT = {"id": "msg_1", "is_inbound": True, "created_at": 1793622600.123, "text": ""}


def changed(name: str, *path: str, value: object) -> Any:
    """An example with the value at a path replaced."""
    payload = inner = example(name)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return payload


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (
            ZAMMAD,
            "zammad_article",
            {
                "external_id": "81",
                "text": "Fatura em dobro\nFui cobrado duas vezes este mês.<div><br></div><div>Podem estornar?</div>",
                "revised_at": datetime(2026, 11, 2, 12, 30, 0, 318000, tzinfo=UTC),
                "metadata": {"channel": "email"},
            },
        ),
        (
            INTERCOM,
            "intercom_user_created",
            {
                "external_id": "1911149811",
                "text": "<p>Quero contratar o plano anual para dez pessoas.</p>",
                "revised_at": datetime(2026, 11, 2, 12, 30, tzinfo=UTC),
                "metadata": {
                    "channel": "customer_initiated",
                    "url": "https://app.intercom.com/a/apps/a1b2c3d4/conversations/1911149811",
                },
            },
        ),
        (
            INTERCOM,
            "intercom_user_replied",
            {
                "external_id": "1911149811",
                "text": "<p>E o aplicativo fecha sozinho quando abro a fatura.</p>",
                "revised_at": datetime(2026, 11, 2, 13, 30, tzinfo=UTC),
            },
        ),
        (
            HELPSCOUT,
            "helpscout_customer_reply",
            {
                "external_id": "291938",
                "text": "Fatura em dobro\nAinda não recebi o estorno.<br>Podem verificar?",
                "revised_at": datetime(2026, 11, 2, 13, 30, tzinfo=UTC),
                "metadata": {"channel": "email", "url": "https://secure.helpscout.net/conversation/291938/349/"},
            },
        ),
        (
            FRONT,
            "front_inbound",
            {
                "external_id": "cnv_55c8c149",
                "text": "Fatura em dobro\nFui cobrado duas vezes este mês.",
                "revised_at": datetime(2026, 11, 2, 12, 30, 0, 123000, tzinfo=UTC),
                "metadata": {"channel": "email"},
            },
        ),
    ],
)
def test_a_customers_message_is_a_ticket(source: Source, name: str, expected: dict[str, Any]) -> None:
    fields = ticket(example(name), source)

    assert {key: fields[key] for key in expected} == expected


def test_front_is_read_without_the_envelope_of_an_application() -> None:
    assert ticket(example("front_inbound")["payload"], FRONT) == ticket(example("front_inbound"), FRONT)


@pytest.mark.parametrize(
    ("source", "payload", "reason"),
    [
        (
            ZAMMAD,
            changed("zammad_article", "article", value=None),
            "no article: the ticket changed without a message",
        ),
        (ZAMMAD, changed("zammad_article", "article", "internal", value=True), "an internal note"),
        (
            ZAMMAD,
            changed("zammad_article", "article", "sender", value="Agent"),
            "an article of an agent or of Zammad",
        ),
        (INTERCOM, {"topic": "ping", "data": {"item": {}}}, "a test of the URL"),
        (
            INTERCOM,
            changed("intercom_user_replied", "topic", value="conversation.admin.replied"),
            "conversation.admin.replied brings no customer message",
        ),
        (INTERCOM, changed("intercom_user_created", "data", "item", "source", "body", value=None), "no text"),
        (FRONT, changed("front_inbound", "payload", "target", "data", value=WITHOUT_TEXT), "no text"),
        (
            INTERCOM,
            changed("intercom_user_replied", "data", "item", "conversation_parts", "conversation_parts", value=[]),
            "a reply without a part of the customer",
        ),
        (
            HELPSCOUT,
            changed("helpscout_customer_reply", "_embedded", value={"threads": [{}]}),
            "no thread of the customer",
        ),
        (HELPSCOUT, {"id": 291938}, "an object without messages, such as a deleted conversation"),
        (FRONT, {"type": "sync", "authorization": {"id": "cmp_abc"}}, "a test of the URL"),
        (
            FRONT,
            changed("front_inbound", "payload", value={"type": "assign", "conversation": {"id": "cnv_1"}}),
            "assign brings no customer message",
        ),
    ],
)
def test_anything_but_a_customers_message_is_ignored(source: Source, payload: object, reason: str) -> None:
    assert ignored(payload, source) == reason


@pytest.mark.parametrize("source", [ZAMMAD, INTERCOM, HELPSCOUT, FRONT], ids=lambda source: source.name)
def test_a_payload_of_another_program_matches_nothing(source: Source) -> None:
    assert unmatched({"another": "program"}, source)


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        (FRONT, changed("front_inbound", "payload", "target", value={"_meta": {"type": "message"}})),
        (HELPSCOUT, {"id": 1, "subject": "Fatura", "threads": [{"body": "Fui cobrado duas vezes"}]}),
        (HELPSCOUT, {"id": 1, "rating": "not good", "comments": "Quero cancelar"}),
        (INTERCOM, changed("intercom_user_replied", "topic", value="ticket.contact.replied")),
        (INTERCOM, changed("intercom_user_replied", "topic", value="ticket.created")),
    ],
    ids=["preview of an event", "payload V1", "comment on a rating", "reply to a ticket", "new ticket"],
)
def test_a_customers_message_in_a_form_that_is_not_read_does_not_pass_for_a_known_event(
    source: Source, payload: object
) -> None:
    assert unmatched(payload, source)


@pytest.mark.parametrize("path", [("data",), ("data", "item"), ("data", "item", "source")], ids=".".join)
def test_an_intercom_conversation_whose_message_is_not_found_is_not_ignored(path: tuple[str, ...]) -> None:
    assert unreadable(changed("intercom_user_created", *path, value={}), INTERCOM)


def test_an_event_preview_of_front_is_unreadable_because_it_has_no_text() -> None:
    preview = example("front_inbound")
    del preview["payload"]["target"]["data"]["text"], preview["payload"]["target"]["data"]["body"]

    assert re.match(r"message = target\.data\.text .* is missing", unreadable(preview, FRONT))


AT = str(int(NOW.timestamp() * 1000))


@pytest.mark.parametrize(
    ("adapter", "name", "algorithm", "encoding", "headers"),
    [
        ("zammad", "zammad_article", "sha1", "hex", {"X-Hub-Signature": "sha1={}"}),
        ("zammad", "zammad_article", "sha1", "HEX", {"X-Hub-Signature": "sha1={}"}),
        ("intercom", "intercom_user_created", "sha1", "hex", {"X-Hub-Signature": "sha1={}"}),
        ("helpscout", "helpscout_customer_reply", "sha1", "base64", {"X-HelpScout-Signature": "{}"}),
        ("front", "front_inbound", "sha256", "base64", {"X-Front-Signature": "{}", "X-Front-Request-Timestamp": AT}),
    ],
)
def test_the_signature_of_each_crm_is_verified(
    adapter: str, name: str, algorithm: str, encoding: str, headers: dict[str, str]
) -> None:
    source = make_source(adapter, {"secret": SECRET})
    body = (EXAMPLES / f"{name}.json").read_bytes()
    content = f"{AT}:".encode() + body if adapter == "front" else body
    digest = hmac.new(SECRET.encode(), content, getattr(hashlib, algorithm)).digest()
    signed = {"hex": digest.hex(), "HEX": digest.hex().upper()}.get(encoding, base64.b64encode(digest).decode())
    sent = {header: value.format(signed) for header, value in headers.items()}

    assert isinstance(receive_webhook(Webhook(body, sent), source, NOW), AcceptedWebhook)
    assert isinstance(receive_webhook(Webhook(body + b" ", sent), source, NOW), RefusedWebhook)


def test_a_table_replaces_single_fields_of_its_preset() -> None:
    rule_webhook = {"header": "X-Front-Signature", "algorithm": "sha1", "encoding": "base64"}
    source = make_source("front", {"secret": SECRET, "signature": rule_webhook})
    body = json.dumps(example("front_inbound")["payload"]).encode()
    signed = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha1).digest()).decode()

    outcome = receive_webhook(Webhook(body, {"X-Front-Signature": signed}), source, NOW)
    assert isinstance(outcome, AcceptedWebhook)


@pytest.mark.parametrize("adapter", presets())
def test_results_go_nowhere_unless_the_table_says_so(adapter: str) -> None:
    assert (
        make_source(
            adapter, {"token": TOKEN, "account_id": 1} if adapter == "chatwoot" else {"token": TOKEN}
        ).destinations
        == {}
    )
