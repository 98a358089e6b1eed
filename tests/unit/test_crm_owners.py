"""The adapters read the ticket ids of a dead-lettered webhook, even if it has no readable message."""

import json
from typing import Any

import pytest

from tests.support.crm import (
    CHATWOOT,
    FRESHDESK,
    FRONT,
    HELPSCOUT,
    HUBSPOT,
    INTERCOM,
    SALESFORCE,
    ZAMMAD,
    ZENDESK,
    example,
)
from triagem.producer.crm import Source, read_owners


@pytest.mark.parametrize(
    ("source", "name", "missing", "ids"),
    [
        (ZENDESK, "zendesk_ticket_created", "time", {"4711"}),
        (ZENDESK, "zendesk_trigger", "message", {"4711"}),
        (CHATWOOT, "chatwoot_message_created", "created_at", {"130"}),
        (CHATWOOT, "chatwoot_conversation_created", "messages", {"130"}),
        (FRESHDESK, "freshdesk_replied", "", {"11"}),
        (SALESFORCE, "salesforce_flow", "LastModifiedDate", {"500xx000000bwXAAQ"}),
        (ZAMMAD, "zammad_article", "article", {"81"}),
        (INTERCOM, "intercom_user_replied", "topic", {"1911149811"}),
        (HELPSCOUT, "helpscout_customer_reply", "_embedded", {"291938"}),
        (FRONT, "front_inbound", "type", {"cnv_55c8c149"}),
    ],
)
def test_a_webhook_without_a_field_that_is_needed_names_its_ticket(
    source: Source, name: str, missing: str, ids: set[str]
) -> None:
    payload = example(name)
    payload.pop(missing, None)

    owners = read_owners(json.dumps(payload).encode(), source)

    assert owners == {(source.name, external_id) for external_id in ids}


def test_a_batch_names_each_ticket_and_a_record_without_an_id_hides_none() -> None:
    records: list[dict[str, Any]] = [{**example("hubspot_events")[1], "objectId": value} for value in (1, None, 2)]

    assert {owner.external_id for owner in read_owners(json.dumps(records).encode(), HUBSPOT)} == {"1", "2"}


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[]", b"null", b'{"ticket_id": {}}'])
def test_a_body_that_names_no_ticket_has_no_owner(body: bytes) -> None:
    assert read_owners(body, ZENDESK) == frozenset()
