"""Field maps turn any JSON into tickets: HubSpot's batches, Salesforce's callouts and others."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from tests.support.crm import (
    HUBSPOT,
    NOW,
    SALESFORCE,
    TOKEN,
    example,
    ignored,
    parse_webhook,
    ticket,
    unmatched,
    unreadable,
)
from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm import AcceptedWebhook, Source
from triagem.producer.crm.payload import parse
from triagem.producer.crm.settings import make_source


def source_with(**settings: Any) -> Source:
    fields = {"external_id": "id", "text": ["text"]}
    return make_source("shop", {"adapter": "generic", "token": TOKEN, "fields": fields, **settings})


def source_with_fields(**fields: Any) -> Source:
    return source_with(fields={"external_id": "id", "text": ["text"], **fields})


def test_hubspot_events_with_a_text_are_tickets() -> None:
    assert ticket(example("hubspot_events"), HUBSPOT) == {
        "source": "hubspot",
        "external_id": "515",
        "text": "Precisamos de vinte licenças a partir de janeiro.",
        "revised_at": datetime(2026, 11, 2, 12, 30, 0, 121000, tzinfo=UTC),
        "metadata": {"portal": 12345678},
    }


def test_hubspots_generic_subscription_is_read_for_tickets_only() -> None:
    events = [
        {
            "subscriptionType": "object.propertyChange",
            "objectTypeId": kind,
            "objectId": 7,
            "propertyName": "content",
            "propertyValue": "Não chegou",
            "occurredAt": 1793628300000,
        }
        for kind in ("0-5", "0-1")
    ]

    assert ticket(events, HUBSPOT)["text"] == "Não chegou"


@pytest.mark.parametrize(
    "text", ["", " ", "<div><br></div>", "<p>&nbsp;</p>", '<div><img src="https://x.example.com"></div>']
)
def test_a_record_whose_text_shows_nothing_is_ignored(text: str) -> None:
    assert ignored({"id": 1, "text": text}, source_with_fields()) == "no text"


@pytest.mark.parametrize(
    "text",
    [
        "{{ticket.title}}",
        "{{ ticket.latest_public_comment.value }}",
        "Fatura\n{{ticket.description}}",
        "<p>{{ticket.description}}</p>",
        "{{ticket.title}}\n{{ticket.description}}",
        "{{dc.hi}} {{ticket.title}}",
        "{{{title}}}",
        "{{ticket.title}}\n\n--",
    ],
)
def test_a_placeholder_that_the_crm_did_not_fill_in_is_unreadable(text: str) -> None:
    reason = unreadable({"id": 1, "text": text}, source_with_fields())

    assert reason == "text: is a placeholder that the CRM did not fill in, such as {{ticket.title}}"


@pytest.mark.parametrize(
    "placeholder",
    ["{{ticket.id}}", "{{ ticket.id }}", "${id}", "{!Case.Id}", "#{id}", "{id}", "[[id]]", "<%= id %>", "%%id%%"],
)
def test_an_id_that_is_a_placeholder_is_unreadable_and_in_metadata_it_is_left_out(placeholder: str) -> None:
    source = source_with_fields(metadata={"channel": "channel"})
    reason = unreadable({"id": placeholder, "text": "oi"}, source)

    assert reason == "external_id: is a placeholder that the CRM did not fill in, such as {{ticket.id}}"
    assert ticket({"id": 1, "text": "oi", "channel": placeholder}, source)["metadata"] == {}


@pytest.mark.parametrize("at", ["20251231", 202512311405, 2025, 0, "0", 46022.58, "46022,58", "", True, -1, "ontem"])
def test_a_time_that_no_crm_could_mean_is_unreadable(at: object) -> None:
    assert unreadable({"id": 1, "text": "oi", "at": at}, source_with_fields(revised_at="at")).startswith(
        "revised_at = at"
    )


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("28/11/2025 10:15", "2025-11-28T13:15:00+00:00"),
        ("03/04/2025 10:15", "2025-04-03T13:15:00+00:00"),
        ("2025-11-28 10:15", "2025-11-28T13:15:00+00:00"),
        ("2025-11-28T10:15Z", "2025-11-28T10:15:00+00:00"),
        (1764324900, "2025-11-28T10:15:00+00:00"),
    ],
)
def test_local_times_are_read_in_the_zone_of_the_source(at: object, utc: str) -> None:
    source = source_with_fields(revised_at="at", timezone="America/Sao_Paulo", date_order="dmy")

    assert ticket({"id": 1, "text": "oi", "at": at}, source)["revised_at"].isoformat() == utc


def test_an_unknown_zone_is_refused_when_the_file_is_read() -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        source_with_fields(timezone="Brasilia")


def test_a_message_that_quotes_a_placeholder_is_a_ticket() -> None:
    text = "O e-mail chegou com {{nome}} no lugar do nome"

    assert ticket({"id": 1, "text": text}, source_with_fields())["text"] == text


def test_a_salesforce_flow_sends_one_record() -> None:
    assert ticket(example("salesforce_flow"), SALESFORCE) == {
        "source": "salesforce",
        "external_id": "500xx000000bwXAAQ",
        "text": "Login\nNão consigo entrar desde ontem.",
        "revised_at": datetime(2026, 11, 2, 12, 30, tzinfo=UTC),
        "metadata": {"channel": "Web", "language": "pt_BR"},
    }


def test_a_payload_without_a_record_that_the_map_selects_matches_nothing() -> None:
    assert "`records`" in unmatched(example("hubspot_events")[:1], HUBSPOT)
    assert "`records`" in unmatched({"another": "shape"}, HUBSPOT)
    assert "`records`" in unmatched([], SALESFORCE)


def test_a_rule_makes_an_event_known() -> None:
    rules = [{"when": "type=='ping'", "reason": "{event} tests the URL"}]
    source = source_with(records="[?type=='message']", event="type", ignore=rules)

    assert ignored({"type": "ping"}, source) == "ping tests the URL"
    assert "and deal is not a known event" in unmatched({"type": "deal"}, source)


@pytest.mark.parametrize(
    ("records", "payload"),
    [
        ("[?type=='message']", {"type": "message", "id": 1, "text": "oi"}),
        ("[?type=='message']", [{"type": "ping"}, {"type": "message", "id": 1, "text": "oi"}]),
        ("data", {"data": {"id": 1, "text": "oi"}}),
        ("data", [{"data": {"id": 1, "text": "oi"}}]),
        ("data", {"data": [{"id": 1, "text": "oi"}]}),
        ("data[]", {"data": [{"id": 1, "text": "oi"}]}),
        ("@", [{"id": 1, "text": "oi"}]),
        ("data[]", {"data": {"id": 1, "text": "oi"}}),
        ("data[?text]", {"data": {"id": 1, "text": "oi"}}),
        ("data.items[*].{id: id, text: body}", {"data": {"items": {"id": 1, "body": "oi"}}}),
    ],
)
def test_a_map_reads_one_object_and_lists(records: str, payload: object) -> None:
    assert ticket(payload, source_with(records=records))["text"] == "oi"


@pytest.mark.parametrize("records", ["data", "data[]", "data[?id]"])
def test_all_items_of_a_list_are_read(records: str) -> None:
    payload = [{"data": {"id": 1, "text": "um"}}, {"other": 1}, {"data": [{"id": 2, "text": "dois"}]}]
    outcome = parse_webhook(payload, source_with(records=records))

    assert isinstance(outcome, AcceptedWebhook)
    assert [ticket.text for ticket in outcome.tickets] == ["um", "dois"]


def test_a_message_is_required_and_its_subject_is_one_line() -> None:
    source = source_with_fields(text=["title"], message="body")

    assert ticket({"id": 1, "title": "Fatura \n em dobro", "body": " oi "}, source)["text"] == "Fatura em dobro\noi"
    assert unreadable({"id": 1, "title": "Fatura"}, source) == "message = body: is missing or not text"
    assert ignored({"id": 1, "title": "Fatura", "body": "<p>&nbsp;</p>"}, source) == "no text"


def test_texts_are_cut_and_compared_by_regular_expressions() -> None:
    source = source_with_fields(
        text=[r"without(text, '\[\w+\] ')"], metadata={"urgent": "matches(text, '(?i)urgente')"}
    )
    fields = ticket({"id": 1, "text": "[web] [x] URGENTE"}, source)

    assert (fields["text"], fields["metadata"]) == ("[x] URGENTE", {"urgent": True})
    broken = source_with_fields(text=["matches(text, pattern)"])
    assert unreadable({"id": 1, "text": "x", "pattern": "["}, broken).startswith("text: its")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [("join('', [lower(text)])", r"calls lower\(\), which is not a function"), ("a && !b.c", r"write !\(a\.b\)")],
)
def test_an_expression_that_can_never_work_is_refused_when_the_file_is_read(expression: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        source_with_fields(text=[expression])


def test_without_a_time_the_receipt_time_is_used() -> None:
    assert ticket({"id": 7, "text": "hello"}, source_with_fields())["revised_at"] == NOW


def test_one_bad_record_does_not_fail_the_rest_and_is_named() -> None:
    outcome = parse_webhook(
        [{"id": 1, "text": "one"}, {"id": None, "text": "two"}, {"id": 3, "text": "three"}], source_with_fields()
    )

    assert isinstance(outcome, AcceptedWebhook)
    assert [ticket.external_id for ticket in outcome.tickets] == ["1", "3"]
    assert outcome.unread == ("record 2: external_id = id: is missing or not an id",)


@pytest.mark.parametrize(
    ("fields", "record", "reason"),
    [
        ({}, {"text": "x"}, "external_id = id: is missing or not an id"),
        ({}, {"id": 1}, "text = text: is empty"),
        ({}, {"id": 1, "text": ["x"]}, "text: is list, expected text"),
        ({"revised_at": "at"}, {"id": 1, "text": "x"}, "revised_at = at: is missing"),
        ({"metadata": {"n": "n"}}, {"id": 1, "text": "x", "n": float("nan")}, "metadata.n: is not a finite number"),
        ({"text": ["join(', ', words)"]}, {"id": 1, "words": 5}, "text: its expression fails on this payload"),
        (
            {"text": ["to_string(ceil(n))"]},
            {"id": 1, "n": float("inf")},
            "text: its expression fails on this payload",
        ),
    ],
)
def test_an_unreadable_field_is_named(fields: dict[str, Any], record: dict[str, Any], reason: str) -> None:
    assert unreadable(record, source_with_fields(**fields)).startswith(reason)


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[]," * 100_000 + b"1]", b"[" + b"0," * 100_000 + b"0]", b"[" + b'"",' * 100_000 + b'""]'],
    ids=["lists", "numbers", "strings"],
)
def test_json_of_too_many_values_is_not_parsed(body: bytes) -> None:
    with pytest.raises(InvalidTicket, match="more than 100,000 values"):
        parse(body)


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    text = 'a,[{"\\' * 40_000

    assert parse(json.dumps([text, text]).encode()) == [text, text]
    assert parse(json.dumps(text).encode("utf-16")) == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", "is empty"), (b" \n", "is empty"), (gzip.compress(b"{}", mtime=0), "is compressed: send it w")],
)
def test_an_empty_and_a_compressed_body_are_called_so(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidTicket, match=f"^body: {reason}"):
        parse(body)


def test_a_long_text_without_an_end_is_not_json() -> None:
    with pytest.raises(InvalidTicket, match="is not valid JSON"):
        parse(b'["' + b'\\",' * 100_000)


class TestMessages:
    SOURCE = make_source(
        "chat",
        {
            "adapter": "generic",
            "token": TOKEN,
            "on_reply": "latest",
            "fields": {
                "external_id": "room",
                "text": ["body"],
                "revised_at": "at",
                "message_id": "id",
                "author": "from",
                "deleted": "gone",
            },
        },
    )
    PAYLOAD: ClassVar = {"room": 7, "id": 12, "from": "agent", "body": "Posso ajudar?", "at": "2026-11-02T12:30:00Z"}

    def test_a_record_with_a_message_id_is_a_message(self) -> None:
        fields = ticket(self.PAYLOAD, self.SOURCE)

        assert fields["message"] == {"id": "12", "author": "agent", "deleted": False, "on_reply": "latest"}

    def test_a_record_without_one_is_a_whole_text(self) -> None:
        assert "message" not in ticket({**self.PAYLOAD, "id": None}, self.SOURCE)

    def test_a_deleted_message_needs_no_text(self) -> None:
        assert ticket({**self.PAYLOAD, "body": None, "gone": True}, self.SOURCE)["message"]["deleted"] is True

    def test_an_author_that_is_not_known_is_named(self) -> None:
        assert unreadable({**self.PAYLOAD, "from": "visitor"}, self.SOURCE).startswith("author = from: ")

    def test_author_without_message_id_is_refused(self) -> None:
        fields = {"external_id": "room", "text": ["body"], "author": "from"}
        with pytest.raises(ValidationError, match="message_id: is needed for author"):
            make_source("chat", {"adapter": "generic", "token": TOKEN, "fields": fields})
