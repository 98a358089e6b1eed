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
from triagem.notify import Request
from triagem.notify.crm import (
    CallbackSettings,
    ChatwootLabels,
    CrmResult,
    FieldSettings,
    ZendeskTags,
    callback_request,
    field_request,
    parse_labels,
    read_labels,
    result_tags,
    tag_ticket,
    write_labels,
)
from triagem.notify.request import sign

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECEIVER = CallbackSettings.model_validate({"url": "https://hooks.example.com/triagem", "secret": KEY})
ZENDESK = ZendeskTags.model_validate(
    {"url": "https://example.zendesk.com", "user": "bot@example.com", "token": "zendesk-token"}
)
CHATWOOT = ChatwootLabels.model_validate({"url": "https://chat.example.com", "token": "chatwoot-token"})
RESULT = CrmResult(
    source="zendesk",
    external_id="4711",
    changed_at=datetime(2026, 11, 2, 12, 30, 3, tzinfo=UTC),
    revision=1,
    revised_at=datetime(2026, 11, 2, 12, 30, tzinfo=UTC),
    label="suporte",
    confidence=0.93,
    band=Band.AUTOMATE,
    model_version="v1.0.0",
    classified_at=datetime(2026, 11, 2, 12, 30, 2, tzinfo=UTC),
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
            "id": RESULT.id,
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

    assert first.headers["webhook-id"] == later.headers["webhook-id"] == RESULT.id
    assert first.body == later.body
    assert first.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    for request in (first, later):
        assert request.headers["webhook-signature"] == sign(
            RESULT.id, request.headers["webhook-timestamp"], request.body, KEY
        )
    assert first.headers["webhook-signature"] != later.headers["webhook-signature"]


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "chatwoot"}, {"external_id": "4712"}, {"revision": 3}, {"model_version": "v1.1.0"},
        {"label": "venda"}, {"changed_at": NOW},
    ],
)  # fmt: skip
def test_another_ticket_text_model_label_or_change_is_another_result(changes: dict[str, Any]) -> None:
    assert replace(RESULT, **changes).id != RESULT.id


def test_the_same_result_delivered_again_has_the_same_id() -> None:
    assert replace(RESULT, classified_at=NOW, confidence=0.9300001).id == RESULT.id


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
    add, remove = tag_ticket(RESULT, ZENDESK, previous_labels=["venda", "suporte"])

    assert body(add) == {"tags": ["triagem-suporte"]}
    assert (remove.method, remove.url) == ("DELETE", add.url)
    assert body(remove) == {"tags": ["triagem-abstain", "triagem-review", "triagem-venda"]}


def test_a_conversations_labels_are_read_before_all_are_replaced() -> None:
    request = read_labels(RESULT, 3, CHATWOOT)

    assert (request.method, request.body) == ("GET", b"")
    assert request.url == "https://chat.example.com/api/v1/accounts/3/conversations/4711/labels"
    assert request.headers["api_access_token"] == "chatwoot-token"
    assert parse_labels(b'{"payload": ["vip", "triagem-venda"]}') == ["vip", "triagem-venda"]


def test_a_conversation_keeps_the_labels_of_others_and_loses_our_previous_ones() -> None:
    request = write_labels(RESULT, ["vip", "triagem-venda", "triagem-review"], 3, CHATWOOT)

    assert request is not None
    assert request.method == "POST"
    assert body(request) == {"labels": ["vip", "triagem-suporte"]}


def test_correct_labels_are_not_written_again_so_that_no_update_is_sent() -> None:
    assert write_labels(RESULT, ["triagem-suporte", "vip"], 3, CHATWOOT) is None


@pytest.mark.parametrize("response", [b"", b"{}", b"<html>", b'{"payload": null}', b'{"payload": [1]}', b"[]"])
def test_a_response_without_labels_does_not_delete_existing_ones(response: bytes) -> None:
    with pytest.raises(InvalidInput, match="no list of labels"):
        parse_labels(response)


@pytest.mark.parametrize("number", ["T-1", "1/../2", "", "\uff14\uff17", "1?x=2"])
def test_only_a_number_is_allowed_in_a_url(number: str) -> None:
    with pytest.raises(InvalidInput, match="is not a number"):
        tag_ticket(replace(RESULT, external_id=number), ZENDESK)
    with pytest.raises(InvalidInput, match="is not a number"):
        read_labels(replace(RESULT, external_id=number), 3, CHATWOOT)


def test_the_repr_of_a_request_shows_no_credential() -> None:
    shown = repr(
        [*tag_ticket(RESULT, ZENDESK), read_labels(RESULT, 3, CHATWOOT), callback_request(RESULT, RECEIVER, NOW)]
    )

    assert "Authorization" not in shown
    assert "token" not in shown
    assert "v1," not in shown
