"""`triagem crm check` shows a person's correction of a label, and what becomes of it."""

import json

import pytest

from tests.support.crm import FRESHDESK, NOW, TOKEN
from triagem.producer.crm import Source, Webhook
from triagem.producer.crm.check import PayloadCheck, check_payload
from triagem.producer.crm.settings import make_source

LABELS = ("suporte", "venda")


def check(payload: object, source: Source, labels: tuple[str, ...] = ()) -> PayloadCheck:
    return check_payload(Webhook(json.dumps(payload).encode()), source, NOW, labels)


@pytest.mark.parametrize(
    ("value", "labels", "outcome", "text"),
    [
        ("Venda", LABELS, "accepted", "11: Venda, by freshdesk: a review with the label venda, if the ticket has"),
        ("Venda", (), "accepted", "11: Venda, by freshdesk: a review, if it shows a label"),
        (
            "Vendas",
            LABELS,
            "ignored",
            '"Vendas" is not a label; use labels = { "Vendas" = "…" } in [freshdesk.verdict]',
        ),
    ],
)
def test_a_persons_correction_is_shown_as_one(value: str, labels: tuple[str, ...], outcome: str, text: str) -> None:
    checked = check({"freshdesk_webhook": {"ticket_id": "11", "ticket_triagem": value}}, FRESHDESK, labels)

    assert (checked.outcome, checked.fields) == (outcome, [])
    assert (checked.verdicts[0] if checked.verdicts else str(checked.reason)).startswith(text)


def test_a_correction_that_matches_no_record_is_shown_as_one_too() -> None:
    source = make_source(
        "shop",
        {
            "adapter": "generic",
            "token": TOKEN,
            "records": "[?event=='message']",
            "fields": {"external_id": "id", "text": ["text"]},
            "verdict": {"records": "[?event=='team']", "external_id": "id", "value": "team"},
        },
    )

    checked = check({"event": "team", "id": 7, "team": "venda"}, source)

    assert (checked.outcome, checked.tickets, checked.advice) == ("accepted", [], [])


def test_the_field_of_corrections_is_no_suggestion_for_a_missing_field() -> None:
    checked = check({"freshdesk_webhook": {"ticket_id": "11", "ticket_triagem": ""}}, FRESHDESK)

    assert checked.outcome == "ignored"
    assert not any("did you mean" in str(field.problem) for field in checked.fields)


def test_a_name_that_another_field_uses_is_no_suggestion() -> None:
    payload = {"freshdesk_webhook": {"ticket_id": "11", "ticket_description": "oi"}}

    problems = {field.name: field.problem for field in check(payload, FRESHDESK).fields}

    assert problems["metadata.url"] == ("freshdesk_webhook has no ticket_url; it has ticket_id, ticket_description")
