"""`triagem crm check` shows the outcome of a payload, checks its sender, and explains how to fix a problem."""

import base64
import hashlib
import hmac
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.command import Triagem
from tests.support.crm import EXAMPLES, NOW, SECRET, TOKEN, example, zendesk_headers
from triagem.producer.crm import Source, Webhook
from triagem.producer.crm.check import PayloadCheck, check_payload
from triagem.producer.crm.settings import make_source

RECORD = {"id": 7, "type": "message", "contact": {"message": "oi", "e-mail": "x"}, "at": "2026-11-02T12:30:00Z",
          "comments": [{"body": "oi"}]}  # fmt: skip


def shop(records: str = "@", secret: str | None = None, **fields: Any) -> Source:
    expressions = {"external_id": "id", "text": ["contact.message"], "revised_at": "at", **fields}
    proof = {"secret": secret} if secret else {"token": TOKEN}
    return make_source("shop", {"adapter": "generic", "records": records, "fields": expressions, **proof})


def check(payload: object, source: Source, **headers: str) -> PayloadCheck:
    return check_payload(Webhook(json.dumps(payload).encode(), headers), source, NOW)


def test_an_accepted_payload_shows_its_ticket_and_where_each_field_came_from() -> None:
    checked = check(RECORD, shop())

    assert (checked.outcome, checked.advice) == ("accepted", [])
    assert checked.tickets[0]["text"] == "oi"
    assert [(field.name, field.expression, field.value) for field in checked.fields] == [
        ("external_id", "id", 7),
        ("text", "contact.message", "oi"),
        ("revised_at", "at", "2026-11-02T12:30:00Z"),
    ]


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"text": ["contact.mesage"]}, "text = contact.mesage: contact has no mesage; did you mean message?"),
        ({"text": ["contact.body"]}, "text = contact.body: contact has no body; it has message, e-mail"),
        ({"text": ["contact.message.body"]}, "text = contact.message.body: contact.message is not an object"),
        ({"external_id": "type"}, None),
        ({"external_id": "contact"}, "external_id = contact: is missing or not an id"),
        ({"revised_at": "type"}, "revised_at needs a time with an offset"),
        (
            {"message_id": "id", "author": "type"},
            "author = type: must be customer, agent or bot; here it is 'message'",
        ),
        ({"revised_at": "day"}, "revised_at = day: the record has no day; it has id, type, contact, at, comments"),
        ({"text": ["join(', ', id)"]}, "text = join(', ', id): its expression fails on this payload"),
        ({"text": ["contact"]}, "text = contact: is an object (message, e-mail): select a text in it"),
        (
            {"text": ["comments"]},
            "text = comments: is a list (body): select a text in it, such as",
        ),
    ],
)
def test_a_wrong_expression_is_named_with_what_is_there_instead(fields: dict[str, Any], advice: str | None) -> None:
    checked = check(RECORD, shop(**fields))

    assert checked.outcome == ("dead-lettered" if advice else "accepted")
    assert bool(checked.advice) is bool(advice)
    assert not advice or checked.advice[0].startswith(advice)


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("contact", "who.kind=='contact' && 'customer' || 'agent'"),
        (False, "who.kind==`false` && 'customer' || 'agent'"),
    ],
)
def test_the_advised_expression_for_an_author_is_accepted(kind: object, expression: str) -> None:
    record = {**RECORD, "who": {"kind": kind}}

    refused = check(record, shop(message_id="id", author="who.kind"))
    accepted = check(record, shop(message_id="id", author=expression))

    assert f'author = "{expression}"' in refused.advice[1]
    assert (accepted.outcome, accepted.tickets[0]["message"]["author"]) == ("accepted", "customer")


def test_a_date_that_is_clear_by_chance_is_accepted_with_a_warning() -> None:
    record = {**RECORD, "at": "29/10/2026 17:12"}

    warned = check(record, shop(timezone="America/Sao_Paulo"))
    ordered = check(record, shop(timezone="America/Sao_Paulo", date_order="dmy"))

    assert (warned.outcome, ordered.outcome, ordered.advice) == ("accepted", "accepted", [])
    assert 'date_order = "dmy"' in warned.advice[0]


def test_a_payload_that_no_record_matches_shows_the_comparison_that_fails() -> None:
    checked = check(RECORD, shop("[?type=='ticket' && contact.message]"))

    assert checked.outcome == "dead-lettered"
    assert checked.advice[0] == "`records` wants type to be 'ticket'; here it is 'message'."
    assert checked.advice[1] == "The payload has id, type, contact (message, e-mail), at, comments."
    assert checked.advice[-1].startswith("After the source's first ticket, such a webhook is ignored")


def test_a_payload_without_the_field_that_records_compares_shows_a_similar_one() -> None:
    checked = check(RECORD, shop("[?typ=='message']"))

    assert checked.advice[0] == "`records` wants typ to be 'message'; the record has no typ; did you mean type?"


def test_an_accepted_text_that_lacks_a_part_is_shown_with_what_is_there_instead() -> None:
    checked = check(RECORD, shop(text=["titel", "contact.message"]))
    empty = check({**RECORD, "titel": None}, shop(text=["titel", "contact.message"]))

    assert (checked.outcome, empty.advice) == ("accepted", [])
    assert checked.advice[0].startswith("text = titel adds nothing: the record has no titel; it has id")


@pytest.mark.parametrize(
    ("record", "written", "field"),
    [
        ({"kind": "e-ticket"}, '"e-ticket"', '"e-ticket"'),
        ({"kind": "message.created"}, "message.created", "message.created"),
        ({"kind": "ticket"}, "ticket", "ticket"),
    ],
)
def test_a_text_without_single_quotes_is_recognized_as_the_cause_that_no_record_matches(
    record: dict[str, Any], written: str, field: str
) -> None:
    checked = check(record, shop(f"[?kind=={written}]"))

    text = field.strip('"')
    assert checked.advice[0] == (
        f"`records` compares with the field {field}: a text stands in single quotes, '{text}'."
    )


def test_two_fields_of_an_item_may_be_compared() -> None:
    checked = check({"items": [{"a": 1, "b": 2}]}, shop("items[?a==b]"))

    assert not any("single quotes" in advice for advice in checked.advice)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("ticket-id", "unexpected - at character 7; in double quotes, a name may have any character"),
        ("código", "unexpected ó at character 2; in double quotes, a name may have any character"),
        ("$.id", "unexpected $ at character 1; the payload itself is @"),
        ("[?event='new']", "unexpected = at character 8; a comparison is =="),
        ("items[0", "it ends too early"),
    ],
)
def test_a_mistake_in_an_expression_is_shown_with_its_place(expression: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"is not a JMESPath expression: {problem}")):
        shop(external_id=expression)


@pytest.mark.parametrize(
    ("body", "form"), [(b"id=1&text=oi", "a form"), (b"\n<ticket><id>1</id></ticket>", "XML or HTML")]
)
def test_a_body_of_another_form_is_named(body: bytes, form: str) -> None:
    checked = check_payload(Webhook(body), shop(), NOW)

    assert checked.advice[0].startswith(f"The body is {form}")
    assert "let the CRM send JSON" in checked.advice[0]


@pytest.mark.parametrize("body", [b'{"text": "diz "oi""}', b'{"text": "C:\\pasta"}', "não".encode("cp1252")])
def test_a_body_that_is_not_json_shows_the_likely_cause(body: bytes) -> None:
    checked = check_payload(Webhook(body), shop(), NOW)

    assert checked.outcome == "dead-lettered"
    assert "a template must escape" in checked.advice[0]


def test_an_empty_body_is_ignored_as_in_the_gateway() -> None:
    checked = check_payload(Webhook(b" \n"), shop(), NOW)

    assert (checked.outcome, checked.reason) == ("ignored", "an empty body")


@pytest.mark.parametrize(
    ("message", "sign"),
    [
        ("linha 1\nlinha 2", "The body has unescaped line breaks"),
        ("Veja C:\\nota.txt", "The body has C:\\n, which JSON reads as a control character"),
        ("Veja C:\\\\nota.txt", ""),
        ("Obs:\\nnota", ""),
        ("linha 1\\nlinha 2", ""),
    ],
)
def test_a_template_that_does_not_escape_is_accepted_with_a_warning(message: str, sign: str) -> None:
    body = b'{"id": 1, "at": "2026-11-02T12:30:00Z", "contact": {"message": "' + message.encode() + b'"}}'
    checked = check_payload(Webhook(body), shop(), NOW)

    assert checked.outcome == "accepted"
    assert [advice[: len(sign)] for advice in checked.advice] == [sign] * bool(sign)


def test_a_signature_is_checked_as_of_the_time_that_it_covers() -> None:
    body = json.dumps(example("zendesk_ticket_created")).encode()
    headers = zendesk_headers(body, (NOW - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    source = make_source("zendesk", {"secret": SECRET})

    assert check_payload(Webhook(body, headers), source, NOW).sender == "the signature is right"
    assert check_payload(Webhook(body), source, NOW).sender.startswith("not checked: give the headers")


@pytest.mark.parametrize(
    ("algorithm", "encoding", "prefix", "advice"),
    [
        ("sha1", "hex", "sha1=", 'set algorithm = "sha1", prefix = "sha1=".'),
        ("sha512", "base64", "", 'set algorithm = "sha512", encoding = "base64", prefix = "".'),
        ("md5", "hex", "", "No known form of signature fits"),
    ],
)
def test_a_signature_of_another_form_is_recognized(algorithm: str, encoding: str, prefix: str, advice: str) -> None:
    digest = hmac.new(SECRET.encode(), json.dumps(RECORD).encode(), getattr(hashlib, algorithm)).digest()
    signed = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()

    checked = check(RECORD, shop(secret=SECRET), **{"X-Triagem-Signature": prefix + signed})

    assert checked.outcome == "refused"
    assert advice in checked.advice[0]


def test_a_signature_in_other_headers_is_recognized() -> None:
    digest = hmac.new(SECRET.encode(), b"1764500000." + json.dumps(RECORD).encode(), "sha256").hexdigest()

    checked = check(RECORD, shop(secret=SECRET), **{"X-Sent": "1764500000", "X-Sign": f"v1={digest}"})

    assert (checked.outcome, checked.sender) == ("refused", "the CRM does not send X-Triagem-Signature")
    assert checked.advice[0].endswith(
        'set header = "X-Sign", signed = "{timestamp}.{body}", prefix = "v1=", timestamp_header = "X-Sent".'
    )


def test_a_signature_in_a_list_with_its_time_is_recognized() -> None:
    digest = hmac.new(SECRET.encode(), b"1764500000." + json.dumps(RECORD).encode(), "sha256").hexdigest()

    checked = check(RECORD, shop(secret=SECRET), **{"X-Sign": f"t=1764500000,v1={digest}"})

    assert checked.advice[0].endswith('set format = "stripe", header = "X-Sign".')


def test_a_wrong_token_is_refused_and_a_missing_one_is_not_checked() -> None:
    assert check(RECORD, shop(), **{"X-Triagem-Token": "wrong"}).outcome == "refused"
    assert check(RECORD, shop(), **{"X-Triagem-Token": TOKEN}).sender == "the token is right"
    assert check(RECORD, shop()).sender.startswith("not checked")


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "crm.toml"
        path.write_text("".join(f'[{name}]\ntoken = "{TOKEN}"\n' for name in ("zammad", "front", "freshdesk")))
        return path

    def test_without_a_body_it_lists_the_sources(self, bare: Triagem, file: Path) -> None:
        out = bare("crm", "check", str(file)).out

        assert "is valid, sources: 3" in out
        assert "/v1/webhooks/zammad" in out

    def test_it_names_a_correction_in_the_first_line(
        self, bare: Triagem, monkeypatch: pytest.MonkeyPatch, file: Path, instant_models: Path
    ) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(instant_models))
        body = file.with_name("body.json")
        body.write_text('{"freshdesk_webhook": {"ticket_id": "11", "ticket_triagem": "venda"}}')

        out = bare("crm", "check", str(file), "--source", "freshdesk", "--body", str(body)).out

        assert out.startswith("accepted: a person's correction of a label\n")
        assert "correction   11: venda, by freshdesk: a review with the label venda" in out

    def test_it_shows_what_a_body_becomes(self, bare: Triagem, file: Path) -> None:
        body = str(EXAMPLES / "zammad_article.json")
        shown = bare("crm", "check", str(file), "--source", "zammad", "--body", body)
        printed = bare("crm", "check", str(file), "--source", "zammad", "--body", body, "--json")

        assert shown.out.startswith("accepted\n")
        assert "external_id        ticket.id  →  81" in shown.out
        assert "as the model reads" in shown.out
        assert json.loads(printed.out)["payload"]["tickets"][0]["external_id"] == "81"

    def test_a_missing_part_of_the_text_is_named_with_the_outcome(self, bare: Triagem, tmp_path: Path) -> None:
        file, body = tmp_path / "crm.toml", tmp_path / "body.json"
        fields = '{ external_id = "id", text = ["subject", "bdy"] }'
        file.write_text(f'[shop]\nadapter = "generic"\ntoken = "{TOKEN}"\nfields = {fields}')
        body.write_text('{"id": 7, "subject": "Fatura", "body": "Fui cobrado duas vezes"}')

        first, second, *_ = bare("crm", "check", str(file), "--body", str(body)).out.splitlines()

        assert first == "accepted, but check this first:"
        assert second.startswith("  text = bdy adds nothing: the record has no bdy; did you mean body?")

    def test_an_empty_file_has_no_source_yet(self, bare: Triagem, tmp_path: Path) -> None:
        file = tmp_path / "crm.toml"
        file.touch()

        assert "has no source yet" in bare("crm", "check", str(file)).out

    def test_a_body_that_becomes_a_dead_letter_is_exit_status_1(self, bare: Triagem, file: Path) -> None:
        result = bare("crm", "check", str(file), "--source", "front", "--body", str(EXAMPLES / "zammad_article.json"))

        assert result.status == 1
        assert result.out.startswith("not read: it becomes a dead letter")
        assert TOKEN not in result.out

    def test_an_invalid_file_or_option_is_one_line(self, bare: Triagem, file: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.toml"
        broken.write_text('[zammad]\ntoken = "short"\n')

        assert "[zammad] token: must have at least 16 characters" in bare("crm", "check", str(broken)).err
        assert "these sources: zammad, front" in bare("crm", "check", str(file), "--body", __file__).err
        assert (
            "expected `Name: value`"
            in bare("crm", "check", str(file), "--source", "front", "--body", __file__, "--header", "x").err
        )
