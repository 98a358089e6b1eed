"""Labels: their displayed names can change, the stored ones do not."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command import Triagem
from tests.support.console import Person
from tests.support.gateway import services
from tests.support.reviewing import draw, submit_review, sure, unsure
from tests.support.windows import all_rows
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.labels import review_choices
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox


@pytest.fixture
def stored(database: Database) -> Database:
    """Two tickets that the model labelled `venda`, one of which a reviewer labelled `cobranca`."""
    write_window(database, [sure("1"), unsure("2")])
    submit_review(database, "2", "cobranca")
    return database


def listed(triagem: Triagem) -> dict[str, dict[str, object]]:
    return {row["label"]: row for row in json.loads(triagem("labels", "list", "--format", "json").out)}


def test_every_label_of_a_model_or_a_reviewer_is_listed(triagem: Triagem, stored: Database) -> None:
    assert {label: row["name"] for label, row in listed(triagem).items()} == {
        "cobranca": "cobranca",
        "venda": "venda",
    }


def test_a_renamed_label_keeps_every_stored_row(triagem: Triagem, stored: Database) -> None:
    before = all_rows(stored)

    assert triagem("labels", "set", "venda", "--name", "Comercial", "--description", "Quer comprar").status == 0

    assert (listed(triagem)["venda"]["name"], listed(triagem)["venda"]["description"]) == (
        "Comercial",
        "Quer comprar",
    )
    assert all_rows(stored) == before


def test_a_label_is_put_into_a_group_and_taken_out_of_it(triagem: Triagem, stored: Database) -> None:
    assert triagem("labels", "set", "financeiro", "--new-label").status == 0
    triagem("labels", "set", "cobranca", "--parent", "financeiro")
    assert listed(triagem)["cobranca"]["parent"] == "financeiro"

    triagem("labels", "set", "cobranca", "--parent", "")

    assert listed(triagem)["cobranca"]["parent"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["VENDA", "--name", "Vendas"], "'VENDA' is the label 'venda': use this spelling"),
        (["spam", "--name", "Spam"], "unknown label 'spam': known are cobranca, venda; --new-label adds it"),
        (["venda", "--name", "cobranca"], "the name 'cobranca' is in use by the label 'cobranca'"),
        (["Cobrança", "--new-label"], "'Cobrança' is the label 'cobranca': use this spelling"),
        (["venda", "--name", "COBRANÇA"], "the name 'COBRANÇA' is in use by the label 'cobranca'"),
        (["venda", "--parent", "nada"], "unknown parent 'nada'"),
        (["venda", "--parent", "venda"], "'venda' is in the group 'venda'"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_with_the_reason(
    triagem: Triagem, stored: Database, options: list[str], message: str
) -> None:
    before = listed(triagem)

    answer = triagem("labels", "set", *options)

    assert answer.status == 1
    assert message in answer.err
    assert listed(triagem) == before


def test_a_group_cannot_contain_itself(triagem: Triagem, stored: Database) -> None:
    triagem("labels", "set", "venda", "--parent", "cobranca")

    assert "'venda' is in the group 'cobranca'" in triagem("labels", "set", "cobranca", "--parent", "venda").err


def test_an_added_label_without_a_description_is_offered_and_a_group_or_an_earlier_models_label_is_not(
    triagem: Triagem, stored: Database
) -> None:
    for label in ("spam", "financeiro"):
        triagem("labels", "set", label, "--new-label")
    triagem("labels", "set", "cobranca", "--parent", "financeiro")
    triagem("labels", "set", "venda", "--name", "Comercial")

    assert review_choices(stored, ["suporte"]) == ["suporte", "cobranca", "spam"]
    assert listed(triagem)["spam"]["description"] == ""

    triagem("labels", "set", "spam", "--description", "Propaganda")
    triagem("labels", "set", "spam", "--description", "")

    assert review_choices(stored, ["suporte"]) == ["suporte", "cobranca", "spam"]
    assert listed(triagem)["spam"]["description"] == ""


class TestConsole:
    @pytest.fixture
    def ana(self, stored: Database, inbox: Inbox, instant_models: Path) -> Person:
        return Person(services(stored, inbox, models=instant_models), Scope.READ, Scope.REVIEW)

    def test_people_read_the_name_and_filter_and_answer_by_the_label(self, triagem: Triagem, ana: Person) -> None:
        triagem("labels", "set", "venda", "--name", "Comercial")

        assert '<option value="venda">Comercial</option>' in ana.see("tickets")
        assert "Comercial</span>" in ana.see("ticket", source="zendesk", id="1")
        assert "Comercial</span>" in ana.see("tickets", label="venda")

    def test_the_message_after_an_answer_and_the_page_of_models_show_the_name(
        self, triagem: Triagem, stored: Database, ana: Person
    ) -> None:
        write_window(stored, [unsure("3")])
        draw(stored)
        triagem("labels", "set", "venda", "--name", "Comercial")

        assert "Saved: Comercial" in ana.send("review", ana.see("review"), label="venda")
        version = re.findall(r"version=(v[\d.]+)", ana.see("models"))[0]
        for page in (ana.see("models"), ana.see("model", version=version)):
            assert "Comercial" in page
            assert "venda" not in page

    def test_a_label_has_its_own_colour_everywhere(self, triagem: Triagem, stored: Database, ana: Person) -> None:
        write_window(stored, [unsure("3")])
        draw(stored)
        triagem("labels", "set", "venda", "--colour", "pink")

        assert '<span class="chip l4">venda</span>' in ana.see("ticket", source="zendesk", id="1")
        assert 'value="venda" class="answer l4"' in ana.see("review")
        assert 'class="l4"><title>' in ana.see("overview")

    def test_a_reviewer_sees_the_description(self, triagem: Triagem, stored: Database, ana: Person) -> None:
        write_window(stored, [unsure("3")])
        draw(stored)
        triagem("labels", "set", "venda", "--name", "Comercial", "--description", "Quer comprar")

        assert 'value="venda" class="answer l1" title="Quer comprar">Comercial' in ana.see("review")

    def test_a_retired_label_is_not_offered_until_it_is_restored(
        self, triagem: Triagem, stored: Database, ana: Person
    ) -> None:
        write_window(stored, [unsure("3")])
        draw(stored)
        triagem("labels", "set", "cobranca", "--retire")
        assert "cobranca" not in ana.see("review")
        assert "cobranca</span>" in ana.see("ticket", source="zendesk", id="2")

        triagem("labels", "set", "cobranca", "--restore")

        assert "cobranca" in ana.see("review")
