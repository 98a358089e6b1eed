"""Corrections in the CRM become reviews, Triagem's own labels do not, and the accuracy estimate stays unbiased."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Triagem
from tests.support.crm import CHATWOOT, FRESHDESK, TOKEN, ZENDESK, example
from tests.support.gateway import client, services
from tests.support.results import names, result
from tests.support.reviewing import VERSION, draw, submit_review, sure
from tests.support.windows import result as live_result
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.db import Database, training_jobs
from triagem.db.auth import Scope
from triagem.db.outbox.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.reviews import model_accuracy
from triagem.db.reviews.records import NoCorrection, Unasked, labels_only_ours, record_correction
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.inbox import Inbox
from triagem.inbox.webhook_counts import WebhookCounts
from triagem.producer.crm import CrmConfig
from triagem.producer.crm.settings import make_source

GENERIC = make_source(
    "shop",
    {
        "adapter": "generic",
        "token": TOKEN,
        "records": "[?event=='message']",
        "fields": {"external_id": "id", "text": ["text"]},
        "verdict": {
            "records": "[?event=='team_changed']",
            "external_id": "id",
            "value": "team",
            "actor": "user.email",
            "bots": ["robot@example.com"],
            "labels": {"Comercial": "venda", "N1": "suporte", "Fiscal": "imposto"},
        },
    },
)
SOURCES = {source.name: source for source in (ZENDESK, CHATWOOT, FRESHDESK, GENERIC)}


def zendesk(added: list[str], **changes: Any) -> dict[str, Any]:
    payload: dict[str, Any] = example("zendesk_tags_changed")
    payload["event"]["tags_added"] = added
    payload["detail"] |= changes
    payload["time"] = datetime.now(UTC).isoformat()
    return payload


def chatwoot(labels: list[str]) -> dict[str, Any]:
    return {**example("chatwoot_conversation_updated"), "id": 4711, "labels": labels}


def freshdesk(value: str) -> dict[str, Any]:
    return {"freshdesk_webhook": {"ticket_id": "4711", "ticket_triagem": value}}


def shop(team: str, user: str = "ana@example.com") -> dict[str, Any]:
    return {"event": "team_changed", "id": "4711", "team": team, "user": {"email": user}}


@pytest.fixture
def post(database: Database, inbox: Inbox, instant_models: Path) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Sends a webhook; each source has a ticket 4711 with the label `venda`."""
    write_window(database, [result("4711", source=source, label="venda") for source in SOURCES])
    http = client(services(database, inbox, models=instant_models, crm=CrmConfig(SOURCES)))

    def send(source: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = http.post(f"/v1/webhooks/{source}", json=payload, headers={"X-Triagem-Token": TOKEN})
        return {"status": answer.status_code, **answer.json()}

    return send


@pytest.mark.parametrize(
    ("source", "payload", "reviewer"),
    [
        ("zendesk", zendesk(["vip", "triagem-suporte"]), "zendesk:8447388090494"),
        ("chatwoot", chatwoot(["vip", "triagem-suporte"]), "chatwoot"),
        ("freshdesk", freshdesk("Suporte"), "freshdesk"),
        ("shop", shop("n1"), "shop:8b3b1fbf1e6c"),
        ("shop", shop("suporte", ""), "shop"),
    ],
)
def test_a_persons_change_in_the_crm_is_a_review(
    post: Callable[..., dict[str, Any]], database: Database, source: str, payload: dict[str, Any], reviewer: str
) -> None:
    answer = post(source, payload)

    assert answer == {"status": 202, "outcome": "accepted", "verdicts": 1}
    (review,) = rows(database, "reviews")
    assert (review["label"], review["stratum"], review["inclusion"]) == ("suporte", "crm", None)
    assert review["reviewer"] == reviewer if "8b3b" not in reviewer else "@" not in review["reviewer"]


def test_a_correction_that_completes_the_answers_requests_the_first_version(database: Database, inbox: Inbox) -> None:
    write_window(database, [result("4711", source="shop", label="venda"), *(sure(str(n)) for n in range(19))])
    for number in range(19):
        submit_review(database, str(number), "suporte" if number < 9 else "venda")
    http = client(services(database, inbox, crm=CrmConfig(SOURCES)))

    http.post("/v1/webhooks/shop", json=shop("n1"), headers={"X-Triagem-Token": TOKEN})

    (job,) = training_jobs.newest_jobs(database, limit=9)
    assert (job.kind, job.requested_by) == (JobKind.HEAD, "shop")


@pytest.mark.parametrize(
    ("source", "payload", "reason"),
    [
        ("zendesk", zendesk(["vip"]), "ticket.tags_changed has no customer message"),
        ("zendesk", zendesk(["suporte"]), "ticket.tags_changed has no customer message"),
        ("zendesk", zendesk(["triagem-suporte"], actor_id="-1"), "ticket.tags_changed has no customer message"),
        ("zendesk", zendesk(["triagem-suporte"], id="1"), NoCorrection.UNKNOWN),
        ("zendesk", zendesk(["triagem-venda"]), NoCorrection.UNCHANGED),
        ("chatwoot", chatwoot(["triagem-suporte", "triagem-venda"]), "only attributes of the conversation changed"),
        (
            "freshdesk",
            freshdesk("Vendas"),
            '"Vendas" is not a label; use labels = { "Vendas" = "…" } in [freshdesk.verdict]',
        ),
        (
            "zendesk",
            zendesk(["vip", "triagem-vendas"]),
            '"triagem-vendas" is not a label; use labels = { "triagem-vendas" = "…" } in [zendesk.verdict]',
        ),
        ("zendesk", zendesk(["triagem-review"]), "ticket.tags_changed has no customer message"),
        ("shop", shop("Fiscal"), '"imposto" in `labels` of [shop.verdict] is not a label'),
        ("shop", shop("Comercial"), NoCorrection.UNCHANGED),
    ],
)
def test_other_changes_are_ignored_with_a_reason(
    post: Callable[..., dict[str, Any]], database: Database, source: str, payload: dict[str, Any], reason: str
) -> None:
    assert post(source, payload) == {"status": 200, "outcome": "ignored", "reason": str(reason)}
    assert rows(database, "reviews") == []


def test_a_value_that_may_be_any_text_is_not_counted_as_a_reason(
    post: Callable[..., dict[str, Any]], inbox: Inbox
) -> None:
    post("freshdesk", freshdesk("ana@example.com"))

    assert [row.reason for row in WebhookCounts(inbox.redis).ignored()] == ["a value that is not a label"]


@pytest.mark.parametrize("payload", [shop("N1", "robot@example.com"), shop("Fiscal"), shop("elsewhere")])
def test_a_bots_change_and_an_unknown_value_are_no_review(
    post: Callable[..., dict[str, Any]], database: Database, payload: dict[str, Any]
) -> None:
    post("shop", payload)

    assert rows(database, "reviews") == []


class TestOwnLabels:
    """The CRM reports Triagem's own change of the tag as an update of the ticket."""

    TICKET = Identity("freshdesk", "4711")

    @pytest.fixture
    def delivered(self, database: Database) -> Database:
        """A database whose ticket was delivered with the label `venda`, and has the label `suporte` now."""
        sync_result_targets(database, {"freshdesk.field": "freshdesk"})
        write_window(database, [live_result(source="freshdesk", external_id="4711", label="venda")])
        self.deliver(database)
        write_window(database, [live_result("B", source="freshdesk", external_id="4711", label="suporte", minute=5)])
        return database

    @staticmethod
    def deliver(database: Database) -> None:
        leased = lease_result(database, "freshdesk.field")
        assert leased is not None
        mark_delivery(database, leased, DeliveryState.DELIVERED)

    def correct(self, database: Database, label: str, **options: Any) -> int | NoCorrection:
        return record_correction(database, self.TICKET, label, "freshdesk", Unasked.CRM, **options)

    def test_the_label_that_was_delivered_last_is_ours(self, delivered: Database) -> None:
        assert self.correct(delivered, "venda") is NoCorrection.OWN

    def test_while_a_request_is_under_way_an_earlier_label_may_be_ours(self, delivered: Database) -> None:
        self.deliver(delivered)
        write_window(delivered, [live_result("C", source="freshdesk", external_id="4711", label="outra", minute=6)])
        assert lease_result(delivered, "freshdesk.field")

        assert self.correct(delivered, "venda") is NoCorrection.OWN
        assert isinstance(self.correct(delivered, "nova"), int)

    def test_a_change_before_the_last_delivery_is_outdated(self, delivered: Database) -> None:
        self.deliver(delivered)
        before = datetime.now(UTC) - timedelta(minutes=1)

        assert self.correct(delivered, "venda", changed_at=before) is NoCorrection.OUTDATED
        assert isinstance(self.correct(delivered, "venda", changed_at=datetime.now(UTC)), int)

    def test_a_person_may_change_it_back_and_forth(self, delivered: Database) -> None:
        self.deliver(delivered)

        for label in ("venda", "suporte", "venda"):
            assert isinstance(self.correct(delivered, label), int)
            assert self.correct(delivered, label) is NoCorrection.UNCHANGED
            self.deliver(delivered)

    def test_labels_that_only_triagem_has_set_are_listed_for_training(self, delivered: Database) -> None:
        self.deliver(delivered)
        assert labels_only_ours(delivered, "freshdesk") == {"4711": "suporte"}

        self.correct(delivered, "venda")
        assert labels_only_ours(delivered, "freshdesk") == {}

    def test_a_label_that_was_not_shown_for_an_abstention_is_a_persons(self, database: Database) -> None:
        sync_result_targets(database, {"freshdesk.field": "freshdesk"})
        row = live_result(source="freshdesk", external_id="4711", label="venda", band=Band.ABSTAIN)
        write_window(database, [row])
        self.deliver(database)

        assert isinstance(self.correct(database, "venda"), int)


class TestEstimate:
    def test_corrections_do_not_count_and_their_texts_are_still_drawn(self, database: Database) -> None:
        write_window(database, [sure(str(number), label="venda") for number in range(10)])
        for number in range(5):
            record_correction(database, Identity("zendesk", str(number)), "suporte", "zendesk", Unasked.CRM)

        assert model_accuracy(database, VERSION) is None
        assert len(draw(database, 10, random_share=1)) == 10

        for number in range(10):
            submit_review(database, str(number), "suporte" if number < 5 else "venda")
        estimate = model_accuracy(database, VERSION)
        assert estimate is not None
        assert (estimate.value, estimate.uncounted) == (0.5, 0)

    def test_a_correction_after_a_review_changes_the_label_and_not_the_estimate(self, database: Database) -> None:
        write_window(database, [sure(str(number), label="venda") for number in range(4)])
        tasks = draw(database, 4, random_share=1)
        for name in names(tasks)[:2]:
            submit_review(database, name, "venda")
        record_correction(database, Identity("zendesk", names(tasks)[0]), "suporte", "zendesk", Unasked.CRM)
        record_correction(database, Identity("zendesk", names(tasks)[2]), "suporte", "zendesk", Unasked.IMPORT)

        estimate = model_accuracy(database, VERSION)

        assert estimate is not None
        assert (estimate.value, estimate.reviews, estimate.uncounted) == (1.0, 2, 1)

    def test_an_http_verdict_does_not_count_either(
        self, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        write_window(database, [sure("1", label="venda")])
        draw(database, 1, random_share=1)
        verdict = {"source": "zendesk", "external_id": "1", "label": "suporte"}

        answer = client(services(database, inbox, models=instant_models), Scope.REVIEW).post(
            "/v1/reviews", json=verdict
        )

        assert answer.status_code == 201
        assert [row["stratum"] for row in rows(database, "reviews")] == ["crm"]
        assert model_accuracy(database, VERSION) is None


def test_labels_of_a_file_are_imported_once(database: Database, triagem: Triagem, tmp_path: Path) -> None:
    write_window(database, [result(str(number), label="venda") for number in range(4)])
    file = tmp_path / "closed.csv"
    file.write_text("protocolo,grupo\n0,N1\n1,Comercial\n2,\n3,Fiscal\n9,N1\n")
    options = ["--source", "zendesk", "--label-column", "grupo", "--label-map", "N1=suporte,Comercial=venda"]

    first = json.loads(triagem("review", "import", str(file), *options, "--json").out)
    again = json.loads(triagem("review", "import", str(file), *options, "--json").out)

    left_out = {str(NoCorrection.UNCHANGED): 1, "without a label": 2, str(NoCorrection.UNKNOWN): 1}
    assert first == {"recorded": 1, "left_out": left_out, "rejected": []}
    assert again["recorded"] == 0
    assert [(row["label"], row["stratum"]) for row in rows(database, "reviews")] == [("suporte", "import")]
