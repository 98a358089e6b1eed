"""Authentication of webhooks: signatures of each CRM, a replay window of five minutes, tokens without signatures."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.crm import (
    EXAMPLES,
    FRESHDESK,
    NOW,
    SECRET,
    TOKEN,
    chatwoot_headers,
    receive_webhook,
    signature,
    zendesk_headers,
)
from triagem.producer.crm import (
    AcceptedWebhook,
    IgnoredWebhook,
    RefusedWebhook,
    Source,
    UnreadableWebhook,
    Webhook,
    challenge,
    payload,
    read_verdicts,
    read_webhook,
)
from triagem.producer.crm.settings import make_source, presets
from triagem.producer.crm.signature import SignatureScheme, check_signature

CREATED = (EXAMPLES / "zendesk_ticket_created.json").read_bytes()
MESSAGE = (EXAMPLES / "chatwoot_message_created.json").read_bytes()
SIGNED_AT = "2026-11-02T14:06:00Z"


ZENDESK, CHATWOOT = (SignatureScheme.model_validate(presets()[name]["signature"]) for name in ("zendesk", "chatwoot"))


def zendesk() -> Source:
    return make_source("zendesk", {"secret": SECRET})


def chatwoot() -> Source:
    return make_source("chatwoot", {"secret": SECRET, "account_id": 1})


def generic(**fields: Any) -> Source:
    selected = {"external_id": "id", "text": ["text"], "revised_at": "at"}
    return make_source("shop", {"adapter": "generic", "secret": SECRET, "fields": selected, **fields})


def refused(body: bytes, headers: dict[str, str], source: Source, now: datetime = NOW, **more: Any) -> str:
    outcome = receive_webhook(Webhook(body, headers, **more), source, now)
    assert isinstance(outcome, RefusedWebhook), outcome
    return outcome.reason


def test_zendesks_signature_equals_that_of_openssl() -> None:
    # printf '%s' '2021-03-25T05:09:27Z{"event":"ticket.updated","id":123}' | openssl dgst -sha256 -hmac "$SECRET"
    # -binary | base64, with the secret from Zendesk's documentation for tests before a webhook is created.
    body = b'{"event":"ticket.updated","id":123}'
    headers = {
        "x-zendesk-webhook-signature": "S/RDdU2ERmj7LHDDoWJ2onPYH+t7/f2+LTM4dL7UiLM=",
        "x-zendesk-webhook-signature-timestamp": "2021-03-25T05:09:27Z",
    }
    secret, sent_at = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", datetime(2021, 3, 25, 5, 9, 27, tzinfo=UTC)

    assert check_signature(Webhook(body, headers), ZENDESK, secret, sent_at) is None
    assert check_signature(Webhook(body + b" ", headers), ZENDESK, secret, sent_at) is not None


def test_chatwoots_signature_equals_that_of_openssl() -> None:
    # printf '%s' '1774708578.{"event":"message_created","id":1}' | openssl dgst -sha256 -hmac chatwoot-secret
    headers = {
        "X-Chatwoot-Signature": "sha256=58c5cf1c28086a824dcd95a2bb67baced8628da86c56de27d6e82b3e7bb8c647",
        "X-Chatwoot-Timestamp": "1774708578",
    }
    webhook = Webhook(b'{"event":"message_created","id":1}', headers)

    assert check_signature(webhook, CHATWOOT, "chatwoot-secret", datetime.fromtimestamp(1774708578, UTC)) is None


def test_hubspots_v3_signature_is_a_scheme_like_any_other() -> None:
    address, body, at = (
        "https://triagem.example.com/v1/webhooks/hubspot",
        b'[{"id":1,"text":"x","at":1793628360000}]',
        "1793628360000",
    )
    scheme = {
        "header": "X-HubSpot-Signature-v3",
        "signed": f"POST{address}{{body}}{{timestamp}}",
        "encoding": "base64",
        "timestamp_header": "X-HubSpot-Request-Timestamp",
    }
    signed = base64.b64encode(signature(f"POST{address}".encode() + body + at.encode())).decode()
    headers = {"X-HubSpot-Signature-v3": signed, "X-HubSpot-Request-Timestamp": at}

    assert isinstance(receive_webhook(Webhook(body, headers), generic(signature=scheme), NOW), AcceptedWebhook)
    assert "wrong" in refused(body + b" ", headers, generic(signature=scheme))


# From https://docs.svix.com/receiving/verifying-payloads/how-manual/ and Standard Webhooks' specification.
SVIX_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SVIX_BODY = b'{"test": 2432232314}'
SVIX_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SVIX_TIME = datetime.fromtimestamp(1614265330, UTC)


def svix_headers(prefix: str, signatures: str = SVIX_SIGNATURE, **changed: str) -> dict[str, str]:
    fields = {"id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "timestamp": "1614265330", "signature": signatures} | changed
    return {f"{prefix}-{name}": value for name, value in fields.items()}


def svix_refusal(headers: dict[str, str], format_name: str = "svix", now: datetime = SVIX_TIME) -> str | None:
    scheme = SignatureScheme.model_validate({"format": format_name})
    refusal = check_signature(Webhook(SVIX_BODY, headers), scheme, SVIX_SECRET, now)
    return refusal.reason if refusal else None


@pytest.mark.parametrize(("format_name", "prefix"), [("svix", "svix"), ("standard-webhooks", "webhook")])
def test_the_signature_in_svixs_documentation_is_right(format_name: str, prefix: str) -> None:
    assert svix_refusal(svix_headers(prefix), format_name) is None


def test_one_right_signature_of_several_is_enough_while_a_sender_changes_its_key() -> None:
    other = "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo="
    asymmetric = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

    assert svix_refusal(svix_headers("svix", f"{other} {asymmetric} {SVIX_SIGNATURE}")) is None
    assert "is wrong" in str(svix_refusal(svix_headers("svix", f"{other} {asymmetric}")))
    assert "is wrong" in str(svix_refusal(svix_headers("svix", SVIX_SIGNATURE.removeprefix("v1,"))))


def test_a_list_of_signatures_covers_the_id_and_a_time_of_at_most_five_minutes_ago() -> None:
    unnamed = {name: value for name, value in svix_headers("svix").items() if name != "svix-id"}

    assert "is wrong" in str(svix_refusal(svix_headers("svix", id="msg_2")))
    assert svix_refusal(unnamed) == "no svix-id"
    assert "5 minutes" in str(svix_refusal(svix_headers("svix"), now=SVIX_TIME + timedelta(minutes=6)))


def stripe_header(body: bytes, *secrets: str, at: datetime = NOW) -> str:
    """The header in the form of https://docs.stripe.com/webhooks#verify-manually."""
    time = int(at.timestamp())
    signatures = [f"v1={signature(f'{time}.'.encode() + body, secret).hex()}" for secret in secrets]
    return ",".join([f"t={time}", *signatures, "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"])


def test_a_signature_with_its_time_in_the_same_header_is_accepted() -> None:
    source = generic(fields={"external_id": "id", "text": ["text"]}, signature={"format": "stripe"})
    body = b'{"id": 1, "text": "x"}'

    for secrets in ((SECRET,), ("another-secret", SECRET)):
        outcome = receive_webhook(Webhook(body, {"Stripe-Signature": stripe_header(body, *secrets)}), source, NOW)
        assert isinstance(outcome, AcceptedWebhook)
        assert outcome.tickets[0].revised_at == NOW

    late = NOW + timedelta(minutes=6)
    valid = stripe_header(body, SECRET)
    assert "is wrong" in refused(body, {"Stripe-Signature": stripe_header(body, "another-secret")}, source)
    assert "is wrong" in refused(body + b" ", {"Stripe-Signature": valid}, source)
    assert "5 minutes" in refused(body, {"Stripe-Signature": valid}, source, late)
    assert "5 minutes" in refused(body, {"Stripe-Signature": stripe_header(body, SECRET, at=late)}, source)


@pytest.mark.parametrize("forged", ["{valid},t=1", "t=1,{valid}", "{signatures}", "", "t=,v1=", "t=soon,v1=0"])
def test_a_header_without_exactly_one_time_is_refused(forged: str) -> None:
    source = generic(signature={"format": "stripe"})
    valid = stripe_header(b"{}", SECRET)
    header = forged.format(valid=valid, signatures=valid.partition(",")[2])

    assert refused(b"{}", {"Stripe-Signature": header}, source).startswith("t= in Stripe-Signature")


def test_a_format_is_a_default_that_other_fields_replace() -> None:
    scheme = SignatureScheme.model_validate({"format": "stripe", "header": "Calendly-Webhook-Signature"})

    assert (scheme.header, scheme.prefix) == ("Calendly-Webhook-Signature", "v1=")


def test_a_secret_that_must_be_base64_is_checked_when_the_file_is_read() -> None:
    with pytest.raises(ValidationError, match="secret: is not base64"):
        generic(secret="whsec_não-é-base64", signature={"format": "svix"})


def test_a_signed_webhook_is_accepted_whatever_the_case_of_its_headers() -> None:
    signed = {name.upper(): value for name, value in zendesk_headers(CREATED, SIGNED_AT).items()}

    assert isinstance(receive_webhook(Webhook(CREATED, signed), zendesk(), NOW), AcceptedWebhook)
    assert isinstance(
        receive_webhook(Webhook(MESSAGE, chatwoot_headers(MESSAGE, int(NOW.timestamp()))), chatwoot(), NOW),
        AcceptedWebhook,
    )


@pytest.mark.parametrize("body", [CREATED, b"", b"no JSON"])
def test_nothing_is_parsed_before_its_sender_is_authenticated(body: bytes) -> None:
    assert "X-Zendesk-Webhook-Signature" in refused(body, {}, zendesk())


def test_another_body_or_secret_or_time_is_refused() -> None:
    good = zendesk_headers(CREATED, SIGNED_AT)

    assert "wrong" in refused(CREATED.replace(b"4711", b"4712"), good, zendesk())
    assert "wrong" in refused(CREATED, zendesk_headers(CREATED, SIGNED_AT, "another-secret"), zendesk())
    assert "wrong" in refused(
        CREATED, {**good, "X-Zendesk-Webhook-Signature-Timestamp": "2026-11-02T14:06:01Z"}, zendesk()
    )


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_replayed_webhook_is_refused(minutes: int) -> None:
    headers = zendesk_headers(CREATED, SIGNED_AT)

    assert "5 minutes" in refused(CREATED, headers, zendesk(), NOW + timedelta(minutes=minutes))
    assert isinstance(
        receive_webhook(Webhook(CREATED, headers), zendesk(), NOW + timedelta(minutes=4)), AcceptedWebhook
    )


TIMED = {"header": "X-Signature", "signed": "{timestamp}.{body}", "timestamp_header": "X-Time"}


def test_a_signature_without_a_time_needs_a_revision_in_the_body() -> None:
    undated = {"external_id": "id", "text": ["text"]}
    with pytest.raises(ValidationError, match=r"fields\.revised_at"):
        generic(fields=undated)

    assert generic(fields=undated, signature=TIMED)
    assert make_source("shop", {"adapter": "generic", "token": TOKEN, "fields": undated})


def test_an_old_webhook_sent_again_is_the_same_revision_and_not_a_newer_one() -> None:
    source = generic(fields={"external_id": "id", "text": ["text"]}, signature=TIMED)
    body, time = b'{"id": 1, "text": "x"}', str(int(NOW.timestamp()))
    headers = {"X-Time": time, "X-Signature": signature(f"{time}.".encode() + body).hex()}
    outcomes = [receive_webhook(Webhook(body, headers), source, NOW + timedelta(minutes=m)) for m in (0, 4)]

    assert [outcome.tickets[0].revised_at for outcome in outcomes if isinstance(outcome, AcceptedWebhook)] == [
        NOW
    ] * 2


@pytest.mark.parametrize("time", ["", "soon", "2026-11-02T14:06:00", "٣", "\x00", "9" * 400])
def test_an_invalid_time_is_refused(time: str) -> None:
    assert refused(CREATED, zendesk_headers(CREATED, time), zendesk()).startswith(ZENDESK.timestamp_header or "?")


@pytest.mark.parametrize("sent", ["", "é", "\ud800", "sha256=", "a" * 10_000])
def test_a_wrong_signature_of_any_characters_is_refused(sent: str) -> None:
    headers = {**chatwoot_headers(MESSAGE, int(NOW.timestamp())), "X-Chatwoot-Signature": sent}

    assert "wrong" in refused(MESSAGE, headers, chatwoot())


def test_a_generic_signature_is_hex_after_a_prefix_unless_configured_otherwise() -> None:
    body = b'{"id": 1, "text": "x", "at": "2026-11-02T12:30:00Z"}'
    hex_headers = {"X-Triagem-Signature": f"sha256={signature(body).hex()}"}
    base64_headers = {"X-Shop-Hmac": base64.b64encode(signature(body)).decode()}

    assert isinstance(receive_webhook(Webhook(body, hex_headers), generic(), NOW), AcceptedWebhook)
    assert isinstance(
        receive_webhook(
            Webhook(body, base64_headers), generic(signature={"header": "X-Shop-Hmac", "encoding": "base64"}), NOW
        ),
        AcceptedWebhook,
    )
    assert "wrong" in refused(body, {"X-Triagem-Signature": signature(body).hex()}, generic())


def test_an_insecure_signature_scheme_is_refused() -> None:
    for wrong in (
        {"signed": "{timestamp}"}, {"signed": "{timestamp}.{body}"}, {"timestamp_header": "X-Time"},
        {"signed": "{id}.{body}"}, {"id_header": "X-Id"}, {"format": "other"},
        {"signed": "{timestamp}.{body}", "timestamp_prefix": "t="},
        {"format": "stripe", "timestamp_header": "X-Time"},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            SignatureScheme.model_validate({"header": "X-Signature", **wrong})


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"x-triagem-token": TOKEN}, None),
        ({"Authorization": f"Bearer {TOKEN}"}, None),
        ({"authorization": f"bearer {TOKEN}"}, None),
        ({}, TOKEN),
    ],
)
def test_a_sender_that_cannot_sign_sends_a_token_in_a_header_or_the_url(headers: dict[str, str], token: str) -> None:
    body = (EXAMPLES / "freshdesk_created.json").read_bytes()

    assert isinstance(receive_webhook(Webhook(body, headers, token), FRESHDESK, NOW), AcceptedWebhook)


def test_a_wrong_or_missing_token_is_refused() -> None:
    assert "no token" in refused(b"{}", {}, FRESHDESK)
    assert "no token" in refused(b"{}", {"X-Triagem-Token": "", "Authorization": f"Basic {TOKEN}"}, FRESHDESK)
    for wrong in (TOKEN[:-1], TOKEN + "x", "é", f"Bearer {TOKEN}"):
        assert refused(b"{}", {"X-Triagem-Token": wrong}, FRESHDESK) == "the token is wrong"
    assert refused(b"{}", {}, FRESHDESK, token="x") == "the token is wrong"


def test_an_empty_body_of_the_right_sender_is_a_ping() -> None:
    assert receive_webhook(Webhook(b" \n", {"X-Triagem-Token": TOKEN}), FRESHDESK, NOW) == IgnoredWebhook(
        "an empty body"
    )


def test_a_body_is_parsed_once_even_if_it_is_not_json(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    real = payload.parse

    def parse(body: bytes) -> object:
        parsed.append(body)
        return real(body)

    monkeypatch.setattr(payload, "parse", parse)
    source, webhook = (
        generic(challenge={"field": "challenge"}, verdict={"external_id": "id", "value": "v"}),
        Webhook(b"x"),
    )

    assert challenge(webhook, source) is None
    assert isinstance(read_webhook(webhook, source, NOW), UnreadableWebhook)
    assert read_verdicts(webhook, source) == []
    assert parsed == [b"x"]


def test_the_repr_of_a_webhook_shows_nothing_of_its_content() -> None:
    shown = repr(Webhook(b"my card is 4111", {"X-Triagem-Token": TOKEN}, TOKEN))

    assert TOKEN not in shown
    assert "4111" not in shown
