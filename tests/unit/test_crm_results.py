"""Results for CRMs: a signed webhook, Zendesk's tags, Chatwoot's labels; each as a request that is sent later."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.crm import NOW
from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band
from triagem.db.outbox.deliveries import LeasedResult
from triagem.notify.crm import (
    CallbackSettings,
    ChatwootLabels,
    FieldSettings,
    ZendeskTags,
    callback_request,
    delivery_id,
    field_request,
    label_conversation,
    result_tags,
    tag_ticket,
)
from triagem.notify.request import Request, sign

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIVER = CallbackSettings.model_validate({"url": "https://hooks.example.com/triagem", "secret": KEY})
ZENDESK = ZendeskTags.model_validate(
    {"url": "https://example.zendesk.com", "user": "bot@example.com", "token": "zendesk-token"}
)
CHATWOOT = ChatwootLabels.model_validate(
    {"url": "https://chat.example.com", "account_id": 3, "token": "chatwoot-token"}
)
RESULT = LeasedResult(
    id=1,
    attempts=1,
    leased_until=NOW,
    unchanged=False,
    source="zendesk",
    external_id="4711",
    created_at=datetime(2026, 11, 2, 12, 30, 3, tzinfo=UTC),
    revision=1,
    revised_at=datetime(2026, 11, 2, 12, 30, tzinfo=UTC),
    label="suporte",
    confidence=0.93,
    band=Band.AUTOMATE,
    model_version="v1.0.0",
    classified_at=datetime(2026, 11, 2, 12, 30, 2, tzinfo=UTC),
    reviewed=False,
    abstain_reason=None,
    previous_labels=(),
)


def body(request: Request) -> Any:
    return json.loads(request.body)


FIELD = {"url": "https://acme.zammad.com/", "token": "zammad-token", "path": "/api/v1/tickets/{external_id}"}


def test_a_field_is_written_by_one_request_with_placeholders_replaced() -> None:
    settings = FieldSettings.model_validate(
        {
            **FIELD,
            "method": "PATCH",
            "headers": {"Authorization": "Token token={token}"},
            "body": {
                "label": "{label}",
                "score": "{confidence}",
                "notes": ["{label}: {band}", 1],
                "ok": "{reviewed}",
            },
        }
    )
    request = field_request(replace(RESULT, external_id="a/7 é"), settings)

    assert (request.method, request.url) == ("PATCH", "https://acme.zammad.com/api/v1/tickets/a%2F7%20%C3%A9")
    assert request.headers["Authorization"] == "Token token=zammad-token"
    assert body(request) == {"label": "suporte", "score": 0.93, "notes": ["suporte: automate", 1], "ok": False}


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"\{lable\} is not one of band, confidence"):
        FieldSettings.model_validate({**FIELD, "body": {"label": "{lable}"}})


def test_a_callback_has_the_result_and_its_ticket_but_no_text() -> None:
    request = callback_request(RESULT, RECEIVER, NOW)

    assert (request.method, request.url) == ("POST", "https://hooks.example.com/triagem")
    assert body(request) == {
        "type": "ticket.classified",
        "timestamp": "2026-11-02T12:30:02+00:00",
        "data": {
            "id": delivery_id(RESULT),
            "source": "zendesk",
            "external_id": "4711",
            "revised_at": "2026-11-02T12:30:00+00:00",
            "label": "suporte",
            "confidence": 0.93,
            "band": "automate",
            "model_version": "v1.0.0",
            "reviewed": False,
            "abstain_reason": None,
        },
    }


def test_a_callback_without_a_decision_has_its_reason_and_no_label() -> None:
    undecided = replace(RESULT, band=Band.ABSTAIN, abstain_reason="other-language")

    data = body(callback_request(undecided, RECEIVER, NOW))["data"]

    assert (data["label"], data["band"], data["abstain_reason"]) == (None, "abstain", "other-language")
    assert RESULT.label not in json.dumps(data)


def test_a_callbacks_signature_matches_the_test_vector_of_standard_webhooks() -> None:
    signed = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}', KEY)

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_later_attempt_has_the_same_id_and_body_and_a_new_signature() -> None:
    first, later = (
        callback_request(RESULT, RECEIVER, NOW),
        callback_request(RESULT, RECEIVER, NOW + timedelta(hours=1)),
    )

    assert first.headers["webhook-id"] == later.headers["webhook-id"] == delivery_id(RESULT)
    assert first.body == later.body
    assert first.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    for request in (first, later):
        assert request.headers["webhook-signature"] == sign(
            delivery_id(RESULT), request.headers["webhook-timestamp"], request.body, KEY
        )
    assert first.headers["webhook-signature"] != later.headers["webhook-signature"]


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "chatwoot"}, {"external_id": "4712"}, {"revision": 3}, {"model_version": "v1.1.0"},
        {"label": "venda"}, {"created_at": NOW},
    ],
)  # fmt: skip
def test_another_ticket_text_model_label_or_change_is_another_result(changes: dict[str, Any]) -> None:
    assert delivery_id(replace(RESULT, **changes)) != delivery_id(RESULT)


def test_the_same_result_delivered_again_has_the_same_id() -> None:
    assert delivery_id(replace(RESULT, classified_at=NOW, confidence=0.9300001)) == delivery_id(RESULT)


@pytest.mark.parametrize(
    ("label", "band", "expected"),
    [
        ("suporte", Band.AUTOMATE, ["triagem-suporte"]),
        ("suporte", Band.REVIEW, ["triagem-suporte", "triagem-review"]),
        ("suporte", Band.ABSTAIN, ["triagem-abstain"]),
        ("Cobrança em atraso!", Band.AUTOMATE, ["triagem-cobrança_em_atraso"]),
    ],
)
def test_a_result_as_tags(label: str, band: Band, expected: list[str]) -> None:
    assert result_tags(replace(RESULT, label=label, band=band), "triagem-") == expected


def test_a_zendesk_ticket_gets_a_tag_and_keeps_the_others() -> None:
    (request,) = tag_ticket(RESULT, ZENDESK)

    assert (request.method, request.url) == ("PUT", "https://example.zendesk.com/api/v2/tickets/4711/tags")
    assert body(request) == {"tags": ["triagem-suporte"]}
    login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic "))
    assert login == b"bot@example.com/token:zendesk-token"


def test_previous_tags_of_a_zendesk_ticket_are_removed() -> None:
    add, remove = tag_ticket(replace(RESULT, previous_labels=["venda", "suporte"]), ZENDESK)

    assert body(add) == {"tags": ["triagem-suporte"]}
    assert (remove.method, remove.url) == ("DELETE", add.url)
    assert body(remove) == {"tags": ["triagem-abstain", "triagem-review", "triagem-venda"]}


def test_a_conversations_labels_are_read_and_it_keeps_the_labels_of_others() -> None:
    steps = label_conversation(RESULT, CHATWOOT)
    read = next(steps)
    write = steps.send(b'{"payload": ["vip", "triagem-venda", "triagem-review"]}')

    assert (read.method, read.body) == ("GET", b"")
    assert read.url == "https://chat.example.com/api/v1/accounts/3/conversations/4711/labels"
    assert read.headers["api_access_token"] == "chatwoot-token"
    assert (write.method, write.url) == ("POST", read.url)
    assert body(write) == {"labels": ["vip", "triagem-suporte"]}


def test_correct_labels_are_not_written_again_so_that_no_update_is_sent() -> None:
    steps = label_conversation(RESULT, CHATWOOT)
    next(steps)
    with pytest.raises(StopIteration):
        steps.send(b'{"payload": ["triagem-suporte", "vip"]}')


@pytest.mark.parametrize("response", [b"", b"{}", b"<html>", b'{"payload": null}', b'{"payload": [1]}', b"[]"])
def test_a_response_without_labels_does_not_delete_existing_ones(response: bytes) -> None:
    steps = label_conversation(RESULT, CHATWOOT)
    next(steps)
    with pytest.raises(InvalidInput, match="no list of labels"):
        steps.send(response)


@pytest.mark.parametrize("number", ["T-1", "1/../2", "", "\uff14\uff17", "1?x=2"])
def test_only_a_number_is_allowed_in_a_url(number: str) -> None:
    with pytest.raises(InvalidInput, match="is not a number"):
        next(tag_ticket(replace(RESULT, external_id=number), ZENDESK))
    with pytest.raises(InvalidInput, match="is not a number"):
        next(label_conversation(replace(RESULT, external_id=number), CHATWOOT))


def test_the_repr_of_a_request_shows_no_credential() -> None:
    shown = repr(
        [
            *tag_ticket(RESULT, ZENDESK),
            next(label_conversation(RESULT, CHATWOOT)),
            callback_request(RESULT, RECEIVER, NOW),
        ]
    )

    assert "Authorization" not in shown
    assert "token" not in shown
    assert "v1," not in shown
