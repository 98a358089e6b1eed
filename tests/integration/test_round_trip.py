"""From a CRM's recorded webhook to the result that Triagem returns once, as a tag, a label or a signed callback."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.crm import EXAMPLES
from tests.support.delivery import TOKEN, crm_file, delivery_states, make_due, verified_data
from tests.support.gateway import client, services
from tests.support.pipeline import drained, running
from tests.support.receiver import UNAVAILABLE, FakeChatwoot, FakeZendesk, ReceivedRequest, Receiver
from tests.support.waiting import until
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.reviews import record_review
from triagem.inbox import Inbox
from triagem.notify.channels import Sender
from triagem.notify.deliveries import deliver_due
from triagem.producer.crm import CrmConfig, load_crm_file
from triagem.stack import Endpoints


@dataclass
class IntegratedSystem:
    """Triagem and the CRMs connected to it."""

    inbox: Inbox
    database: Database
    crm: CrmConfig
    gateway: TestClient
    zendesk: Receiver
    chatwoot: Receiver
    callback: Receiver
    field: Receiver
    tags: dict[str, set[str]]
    labels: dict[str, list[str]]

    def webhook(self, source: str, example: str) -> str:
        """Sends a recorded webhook, waits until its ticket is classified, and returns the outcome."""
        body = (EXAMPLES / f"{example}.json").read_bytes()
        answer = self.gateway.post(f"/v1/webhooks/{source}", content=body, headers={"X-Triagem-Token": TOKEN})
        until(lambda: drained(self.inbox))
        return str(answer.json()["outcome"])

    def deliver(self) -> None:
        """Runs the ops worker's delivery task once."""
        make_due(self.database)
        deliver_due(self.database, self.crm.destinations, Sender(self.crm.allowed_hosts).send)


@pytest.fixture
def system(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path, tmp_path: Path
) -> Iterator[IntegratedSystem]:
    """Receivers that are unavailable twice, and a running pipeline."""
    tickets, conversations = FakeZendesk(), FakeChatwoot()
    zendesk, chatwoot, callback, field = Receiver(tickets), Receiver(conversations), Receiver(), Receiver()
    file = crm_file(tmp_path, zendesk=zendesk.url, chatwoot=chatwoot.url, callback=callback.url, field=field.url)
    crm = load_crm_file(file)
    sync_result_targets(database, crm.targets)
    with running(endpoints, instant_models), ExitStack() as opened:
        for receiver in (zendesk, chatwoot, callback, field):
            receiver.next_responses = [UNAVAILABLE, UNAVAILABLE]
            opened.enter_context(receiver.open())
        gateway = client(services(database, inbox, crm=crm))
        yield IntegratedSystem(
            inbox, database, crm, gateway, zendesk, chatwoot, callback, field, tickets.tags, conversations.labels
        )


def write_methods(received: list[ReceivedRequest]) -> list[str]:
    """The methods of all requests but GET."""
    return [request.method for request in received if request.method != "GET"]


def test_a_zendesk_ticket_is_tagged_and_its_updated_webhook_starts_no_loop(system: IntegratedSystem) -> None:
    system.webhook("zendesk", "zendesk_ticket_created")
    for _ in range(4):
        system.deliver()
    assert system.tags == {"4711": {"vip", "triagem-venda"}}
    assert write_methods(system.zendesk.received) == ["PUT", "PUT", "PUT"]
    assert delivery_states(system.database) == [("zendesk.tags", "delivered", 3)]

    # Zendesk reacts to Triagem's tag with an event, and with a trigger that fires on any update.
    assert system.webhook("zendesk", "zendesk_tags_changed") == "ignored"
    assert system.webhook("zendesk", "zendesk_trigger") == "accepted"
    system.deliver()
    assert write_methods(system.zendesk.received) == ["PUT", "PUT", "PUT"]


def test_a_zendesk_ticket_whose_label_changes_loses_the_previous_tag(system: IntegratedSystem) -> None:
    system.zendesk.next_responses = []
    system.webhook("zendesk", "zendesk_ticket_created")
    system.deliver()
    assert system.tags == {"4711": {"vip", "triagem-venda"}}

    system.webhook("zendesk", "zendesk_comment_added")
    system.deliver()
    assert system.tags == {"4711": {"vip", "triagem-suporte"}}


def test_a_reviewed_zendesk_ticket_has_the_tag_of_the_review(system: IntegratedSystem) -> None:
    system.zendesk.next_responses = []
    system.webhook("zendesk", "zendesk_ticket_created")
    system.deliver()
    record_review(system.database, Identity("zendesk", "4711"), "suporte", "ana")
    system.deliver()
    assert system.tags == {"4711": {"vip", "triagem-suporte"}}


def test_a_chatwoot_conversation_is_labelled_and_its_updated_webhook_starts_no_loop(system: IntegratedSystem) -> None:
    system.webhook("chatwoot", "chatwoot_message_created")
    for _ in range(4):
        system.deliver()
    ((_, labels),) = system.labels.items()
    assert labels == ["vip", "triagem-suporte"]
    assert [request.method for request in system.chatwoot.received] == ["GET", "GET", "GET", "POST"]
    assert delivery_states(system.database) == [("chatwoot.labels", "delivered", 3)]

    assert system.webhook("chatwoot", "chatwoot_conversation_updated") == "ignored"
    system.webhook("chatwoot", "chatwoot_message_created")
    system.deliver()
    assert len(system.chatwoot.received) == 4


@pytest.mark.parametrize(
    ("source", "example", "external_id"),
    [
        ("freshdesk", "freshdesk_created", "11"),
        ("salesforce", "salesforce_flow", None),
        ("helpscout", "helpscout_customer_reply", "291938"),
        ("front", "front_inbound", "cnv_55c8c149"),
    ],
)
def test_other_crms_get_a_callback_and_the_same_text_again_starts_no_loop(
    system: IntegratedSystem, source: str, example: str, external_id: str | None
) -> None:
    assert system.webhook(source, example) == "accepted"
    for _ in range(4):
        system.deliver()
    callbacks: list[dict[str, Any]] = [verified_data(request) for request in system.callback.received]
    assert len(callbacks) == 3
    assert len({callback["id"] for callback in callbacks}) == 1
    assert callbacks[0]["source"] == source
    assert external_id in {None, callbacks[0]["external_id"]}
    assert delivery_states(system.database) == [(f"{source}.callback", "delivered", 3)]

    system.webhook(source, example)
    system.deliver()
    assert len(system.callback.received) == 3


@pytest.mark.parametrize(
    ("source", "example", "path", "written"),
    [
        (
            "zammad",
            "zammad_article",
            "/api/v1/tickets/81",
            {"triagem_label": "venda", "triagem_band": "automate"},
        ),
        (
            "intercom",
            "intercom_user_created",
            "/conversations/1911149811",
            {"custom_attributes": {"triagem_label": "suporte", "triagem_band": "automate"}},
        ),
    ],
)
def test_a_crm_with_a_field_gets_the_result_in_it_and_the_same_text_again_starts_no_loop(
    system: IntegratedSystem, source: str, example: str, path: str, written: dict[str, Any]
) -> None:
    assert system.webhook(source, example) == "accepted"
    for _ in range(4):
        system.deliver()
    assert [(request.method, request.path) for request in system.field.received] == [("PUT", path)] * 3
    assert [request.document for request in system.field.received] == [written] * 3
    assert "field-token" in system.field.received[0].headers["authorization"]
    assert delivery_states(system.database) == [(f"{source}.field", "delivered", 3)]

    system.webhook(source, example)
    system.deliver()
    assert len(system.field.received) == 3
