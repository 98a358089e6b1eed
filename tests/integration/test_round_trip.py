"""A CRM's recorded webhook goes in, and comes back to it as a tag, a label or a signed callback: once."""

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
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.deliveries import sync_result_targets
from triagem.db.reviews import record_review
from triagem.inbox import Inbox
from triagem.outgoing.send import Sender
from triagem.producer.crm import CrmConfig, load_crm_file
from triagem.producer.result_delivery.deliver import deliver_due


@dataclass
class World:
    """Triagem and the CRMs around it."""

    inbox: Inbox
    database: Database
    crm: CrmConfig
    gateway: TestClient
    zendesk: Receiver
    chatwoot: Receiver
    called: Receiver
    tags: dict[str, set[str]]
    labels: dict[str, list[str]]

    def webhook(self, source: str, example: str) -> str:
        """A recorded webhook comes in, and what it brings is classified. What the CRM is told of it."""
        body = (EXAMPLES / f"{example}.json").read_bytes()
        answer = self.gateway.post(f"/v1/webhooks/{source}", content=body, headers={"X-Triagem-Token": TOKEN})
        until(lambda: drained(self.inbox))
        return str(answer.json()["outcome"])

    def tell(self) -> None:
        """One run of the ops worker's task."""
        make_due(self.database)
        deliver_due(self.database, self.crm, Sender(self.crm.allowed_hosts).send)


@pytest.fixture
def world(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path, tmp_path: Path
) -> Iterator[World]:
    """Receivers that are away twice, and a running pipe."""
    tickets, conversations = FakeZendesk(), FakeChatwoot()
    zendesk, chatwoot, called = Receiver(tickets), Receiver(conversations), Receiver()
    crm = load_crm_file(crm_file(tmp_path, zendesk=zendesk.url, chatwoot=chatwoot.url, callback=called.url))
    sync_result_targets(database, crm.targets)
    with running(endpoints, instant_models), ExitStack() as opened:
        for receiver in (zendesk, chatwoot, called):
            receiver.next_responses = [UNAVAILABLE, UNAVAILABLE]
            opened.enter_context(receiver.open())
        gateway = client(services(database, inbox, crm=crm))
        yield World(inbox, database, crm, gateway, zendesk, chatwoot, called, tickets.tags, conversations.labels)


def wrote(received: list[ReceivedRequest]) -> list[str]:
    """The methods of requests that changed something, or would have."""
    return [one.method for one in received if one.method != "GET"]


def test_a_zendesk_ticket_is_tagged_and_its_updated_webhook_ends_there(world: World) -> None:
    world.webhook("zendesk", "zendesk_ticket_created")
    for _ in range(4):
        world.tell()
    assert world.tags == {"4711": {"vip", "triagem-venda"}}
    assert wrote(world.zendesk.received) == ["PUT", "PUT", "PUT"]
    assert delivery_states(world.database) == [("zendesk.tags", "delivered", 3)]

    # What our tag makes Zendesk send: by events, and by a trigger that fires on any update.
    assert world.webhook("zendesk", "zendesk_tags_changed") == "ignored"
    assert world.webhook("zendesk", "zendesk_trigger") == "accepted"
    world.tell()
    assert wrote(world.zendesk.received) == ["PUT", "PUT", "PUT"]


def test_a_zendesk_ticket_whose_answer_changes_loses_the_former_tag(world: World) -> None:
    world.zendesk.next_responses = []
    world.webhook("zendesk", "zendesk_ticket_created")
    world.tell()
    assert world.tags == {"4711": {"vip", "triagem-venda"}}

    world.webhook("zendesk", "zendesk_comment_added")
    world.tell()
    assert world.tags == {"4711": {"vip", "triagem-suporte"}}


def test_a_zendesk_ticket_that_a_person_judged_otherwise_has_the_persons_tag(world: World) -> None:
    world.zendesk.next_responses = []
    world.webhook("zendesk", "zendesk_ticket_created")
    world.tell()
    record_review(world.database, Identity("zendesk", "4711"), "suporte", "ana")
    world.tell()
    assert world.tags == {"4711": {"vip", "triagem-suporte"}}


def test_a_chatwoot_conversation_is_labelled_and_its_updated_webhook_ends_there(world: World) -> None:
    world.webhook("chatwoot", "chatwoot_message_created")
    for _ in range(4):
        world.tell()
    ((_, labels),) = world.labels.items()
    assert labels == ["vip", "triagem-suporte"]
    assert [one.method for one in world.chatwoot.received] == ["GET", "GET", "GET", "POST"]
    assert delivery_states(world.database) == [("chatwoot.labels", "delivered", 3)]

    assert world.webhook("chatwoot", "chatwoot_conversation_updated") == "ignored"
    world.webhook("chatwoot", "chatwoot_message_created")
    world.tell()
    assert len(world.chatwoot.received) == 4


@pytest.mark.parametrize(
    ("source", "example", "external_id"),
    [("freshdesk", "freshdesk_created", "11"), ("salesforce", "salesforce_flow", None)],
)
def test_others_are_called_back_and_the_same_text_that_comes_again_ends_there(
    world: World, source: str, example: str, external_id: str | None
) -> None:
    assert world.webhook(source, example) == "accepted"
    for _ in range(4):
        world.tell()
    told: list[dict[str, Any]] = [verified_data(one) for one in world.called.received]
    assert len(told) == 3
    assert len({one["id"] for one in told}) == 1
    assert told[0]["source"] == source
    assert external_id in {None, told[0]["external_id"]}
    assert delivery_states(world.database) == [(f"{source}.callback", "delivered", 3)]

    world.webhook(source, example)
    world.tell()
    assert len(world.called.received) == 3
