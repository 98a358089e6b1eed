"""The start page: labels are named, messages uploaded and labelled, and trainings requested, without any model."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.support.builders import NOW, register
from tests.support.command import Triagem
from tests.support.console import Person
from tests.support.gateway import client, services
from tests.support.pipeline import running
from tests.support.results import insert_unlabelled
from tests.support.runs import scalar
from tests.support.waiting import until
from triagem.cli.commands.access import login_link
from triagem.contracts.prediction import Thresholds
from triagem.contracts.ticket import Identity
from triagem.db import Database, training_jobs
from triagem.db.audit import list_audit
from triagem.db.auth import Scope, list_keys
from triagem.db.labels import change_label, list_labels
from triagem.db.reviews import record_review
from triagem.db.reviews.labelling import (
    LabellingProgress,
    QuestionKind,
    labelling_state,
    next_question,
    read_pool,
    save_questions,
)
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.training_jobs import JobKind
from triagem.gateway.app import create_app
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.ops.labelling import request_due_version
from triagem.ops.reclassify import start_nightly_run
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.stack import Endpoints


@pytest.fixture
def opened(database: Database, inbox: Inbox, tmp_path: Path) -> Services:
    return services(database, inbox, models=tmp_path / "no-models")


@pytest.fixture
def owner(opened: Services) -> Person:
    return Person(opened, Scope.READ, Scope.REVIEW, Scope.ADMIN, name="owner")


@pytest.fixture
def labelled(database: Database) -> Database:
    """Two labels, and 30 texts without a label."""
    for label in ("suporte", "venda"):
        change_label(database, label, description=f"about {label}", new=True)
    for number in range(30):
        insert_unlabelled(database, str(number), text=f"text {number}")
    return database


def answer(database: Database, number: int, label: str, kind: str = "random") -> None:
    record_review(
        database, Identity("zendesk", str(number)), label, "owner", digest=f"text {number}".encode(), kind=kind
    )


def requested(database: Database) -> list[str]:
    return [str(job.kind) for job in training_jobs.newest_jobs(database, limit=10)]


@pytest.fixture
def modelless(triagem: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Triagem:
    """The command, with a registry that is empty at first."""
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "no-models"))
    return triagem


class TestLink:
    def test_a_link_logs_in_once(self, opened: Services) -> None:
        link = login_link(opened.database, "")
        browser, other = (TestClient(create_app(opened), headers={"Accept-Language": "en"}) for _ in range(2))

        page = browser.get(link).text
        assert "This link logs you in as owner." in page
        token = {"link": re.findall('name="link" value="([^"]+)"', page)[0]}
        assert "Name the labels" in browser.post("/console/enter", data=token).text
        assert "Your API key" in (ended := other.get(link).text)
        assert "This login link was already used or has expired" in ended
        assert "Your API key" in other.post("/console/enter", data=token).text
        assert browser.get("/console/start").status_code == 200

    def test_a_page_of_another_site_logs_nobody_in_by_a_link(self, opened: Services) -> None:
        link = login_link(opened.database, "")
        browser = TestClient(create_app(opened))

        opened_by_a_page = browser.get(link, headers={"Sec-Fetch-Site": "cross-site", "Accept-Language": "pt"})
        data = {"link": link.partition("=")[2]}
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert browser.post("/console/enter", data=data, headers=headers).status_code == 403

        assert ">Entrar</button>" in opened_by_a_page.text
        assert not browser.cookies
        assert browser.get("/console/start", follow_redirects=False).status_code == 303

    def test_a_second_link_needs_no_second_key(self, opened: Services) -> None:
        login_link(opened.database, "")
        login_link(opened.database, "")

        (key,) = list_keys(opened.database)
        assert key.name == "owner"
        assert [(entry.action, entry.object) for entry in list_audit(opened.database, limit=9)] == [
            ("key.create", f"key {key.id} (owner)")
        ]

    def test_the_command_prints_the_state_and_a_link(self, modelless: Triagem, labelled: Database) -> None:
        answer(labelled, 1, "venda")

        shown = modelless("start", "--link")

        assert shown.out.splitlines()[:3] == [
            "labels: venda 1, suporte 0",
            "messages: 30",
            "19 more answers until the first version: ten for each of two labels",
        ]
        assert "/console/enter?link=" in shown.out


class TestWithoutModel:
    def test_the_console_and_the_review_lead_to_the_start_page(self, owner: Person) -> None:
        for path in ("/console/", "/console/review"):
            assert "Name the labels" in owner.http.get(path).text

    def test_the_list_of_tickets_counts_stored_messages_and_finds_them_by_their_ids_and_words(
        self, owner: Person, labelled: Database
    ) -> None:
        insert_unlabelled(labelled, "cnv-47", text="Minha fatura veio errada")
        with labelled.autocommit() as connection:
            connection.execute(text("INSERT INTO search_queue SELECT id FROM tickets"))
        index_queued_tickets(labelled)

        for query, name in (("7", "7"), ("cnv-47", "cnv-47"), ("nv-4", "cnv-47"), ("erradas faturas", "cnv-47")):
            page = owner.see("tickets", q=query)
            assert f'<a href="/console/ticket?source=zendesk&amp;id={name}">zendesk · {name}</a>' in page
            assert 'Stored messages: 31. <a href="/console/start">Start</a>' in page
        assert '<span class="preview">Minha fatura veio errada</span>' in page
        assert "No matching tickets" not in page
        assert "No matching tickets" in owner.see("tickets", q="boleto")
        assert "zendesk · 7" not in owner.see("tickets")

    def test_no_nightly_run_starts(self, opened: Services) -> None:
        assert start_nightly_run(opened.database, opened.registry, OpsSettings(), NOW) is None


class TestSetUp:
    def test_labels_are_named_and_a_file_is_uploaded(
        self, owner: Person, endpoints: Endpoints, database: Database, tmp_path: Path
    ) -> None:
        assert "Name the labels" in owner.see("start")
        owner.send("start/label", owner.see("start"), name="suporte", description="something does not work")
        page = owner.send("start/label", owner.see("start"), name="venda", description="")
        assert "something does not work" in page
        owner.send("start/label", page, name="venda", description="wants to buy")
        owner.send("start/label", page, name="venda", description="")
        assert [(entry.object, entry.outcome) for entry in list_audit(database, action="label.set", limit=9)] == [
            ("venda", "changed"),
            ("venda", "added"),
            ("suporte", "added"),
        ]
        token = re.search(r'name="token" value="(\w+)"', page)
        assert token
        rows = "Relatório\nid;texto;lang\n"
        rows += "".join(f"{number};Olá, minha fatura nº {number};pt\n" for number in range(3))
        rows += "".join(f"{number}; ;pt\n" for number in range(3, 10))

        uploaded = owner.http.post(
            "/console/start/upload",
            data={"token": token[1]},
            files={"file": ("exportação.csv", rows.encode("cp1252"), "text/csv")},
        )

        assert "Messages accepted: 3. Rows rejected: 7." in uploaded.text
        assert '<a href="/console/start">Label the messages</a>' in uploaded.text
        assert "skipped above the header, line 1: Relatório" in uploaded.text
        assert "<li>ignored columns: lang</li>" in uploaded.text
        assert "A row whose id was uploaded before is a new version of that message" in uploaded.text
        assert "message text: is only white space. Number: 7; lines: 6, 7, 8, 9, 10, …." in uploaded.text
        assert owner.http.get("/console/start/upload?lang=pt").status_code == 200
        with running(endpoints, tmp_path / "no-models"):
            until(lambda: "fatura nº" in owner.see("start"))

    def test_neither_an_answer_nor_a_new_label_moves_a_key(self, owner: Person, database: Database) -> None:
        for number in range(3):
            insert_unlabelled(database, str(number), text=f"text {number}")
        for label in ("suporte", "venda"):
            owner.send("start/label", owner.see("start"), name=label, description="")

        owner.send("start", owner.see("start"), label="venda")
        page = owner.send("start/label", owner.see("start"), name="bug", description="")

        assert re.findall('name="label" value="([^"]+)"', page) == ["suporte", "venda", "bug"]

    def test_a_label_in_another_spelling_is_the_stored_one_which_comes_back_if_it_was_retired(
        self, owner: Person, labelled: Database
    ) -> None:
        change_label(labelled, "suporte", retired=True)

        page = owner.send("start/label", owner.see("start"), name=" SUPORTE", description="")

        assert "Saved as the existing label suporte." in page
        assert "about suporte" in page
        assert 'value="suporte" class="answer' in page
        assert {label.label for label in list_labels(labelled)} == {"suporte", "venda"}

    def test_another_description_of_a_stored_label_replaces_the_first_and_the_page_says_so(
        self, owner: Person, labelled: Database
    ) -> None:
        page = owner.send("start/label", owner.see("start"), name="Suporte", description="needs help")

        assert "Label suporte existed already: its description was replaced." in page
        assert "needs help" in page

    def test_a_label_without_a_description_shows_its_name_once(self, owner: Person, labelled: Database) -> None:
        page = owner.send("start/label", owner.see("start"), name="bug", description="")

        assert 'value="bug" class="answer' in page
        assert 'title="bug"' not in page
        assert "<dd>bug</dd>" in page

    def test_a_file_without_the_columns_is_refused_with_the_reason(self, owner: Person) -> None:
        token = re.search(r'name="token" value="(\w+)"', owner.see("start"))
        assert token
        content = b"a,b\n" + b"1,2\n" * 1_300_000  # more than a client may send without a session
        refused = owner.http.post(
            "/console/start/upload", data={"token": token[1]}, files={"file": ("a.csv", content, "text/csv")}
        )

        assert refused.status_code == 422
        assert (
            "no column for the ids and texts of tickets found: the file has a, b; if this is not a header, add one; "
            "else use these column names: id, text"
        ) in refused.text

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"id,text\n", "a.xlsx: the file has a header, but no rows"),
            (b"PK\x03\x04", "a.xlsx is an Excel workbook"),
            (b"%PDF-1.4\n1 0 obj\n", "a.xlsx is a PDF, not a table"),
            ("id;text\n1;Giriş, Doğan\n".encode("cp1254"), "save the file as UTF-8"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
        self, owner: Person, content: bytes, reason: str
    ) -> None:
        token = re.search(r'name="token" value="(\w+)"', owner.see("start"))
        assert token
        refused = owner.http.post(
            "/console/start/upload", data={"token": token[1]}, files={"file": ("a.xlsx", content, "text/csv")}
        )

        assert refused.status_code == 422
        assert reason in refused.text

    def test_a_file_from_another_session_is_refused(self, owner: Person, inbox: Inbox) -> None:
        refused = owner.http.post(
            "/console/start/upload", data={"token": "x"}, files={"file": ("a.csv", b"id,text\n1,2\n", "text/csv")}
        )

        assert refused.status_code == 403
        assert inbox.redis.xlen("triagem:{0}:bulk") == 0

    def test_only_an_administrator_names_labels_and_uploads(self, opened: Services, labelled: Database) -> None:
        reviewer = Person(opened, Scope.REVIEW)

        page = reviewer.see("start")
        assert "start/upload" not in page
        assert "Only an administrator names labels" in page
        assert "connect a CRM" not in page
        assert reviewer.http.post("/console/start/label", data={"name": "x"}).status_code == 403


class TestQuestions:
    def test_an_answer_is_stored_with_its_kind_and_the_next_text_is_shown(
        self, owner: Person, labelled: Database
    ) -> None:
        first = owner.see("start")
        assert "Written" not in first  # a text without a time

        second = owner.send("start", first, label="venda")

        assert "Saved: venda" in second
        stored = "SELECT concat_ws(' ', label, stratum, reviewer) FROM reviews"
        assert scalar(labelled, stored) == "venda random owner"
        assert re.findall(r'name="id" value="\d+"', first) != re.findall(r'name="id" value="\d+"', second)

    def test_an_answer_is_undone_and_a_text_skipped(self, owner: Person, labelled: Database) -> None:
        answered = owner.send("start", owner.see("start"), label="venda")
        undone = owner.send("start", answered, action="undo")
        assert "Review undone" in undone
        assert scalar(labelled, "SELECT count(*) FROM reviews") == 0

        skipped = owner.send("start", undone, action="skip")

        assert re.findall(r'name="id" value="\d+"', skipped) != re.findall(r'name="id" value="\d+"', undone)

    def test_chosen_questions_come_first_in_their_order_then_random_ones(self, labelled: Database) -> None:
        pool = read_pool(labelled)
        chosen = [(pool[7], QuestionKind.CHOSEN), (pool[3], QuestionKind.RANDOM)]
        save_questions(labelled, chosen, None)
        questions = []
        for _ in range(3):
            question = next_question(labelled, "owner")
            assert question
            questions.append((question.text, question.kind.value))
            answer(labelled, int(question.external_id), "venda", question.kind)

        assert questions[:2] == [("text 7", "chosen"), ("text 3", "random")]
        assert questions[2][1] == "random"

    def test_suspicious_answers_are_offered_once_for_a_second_look(self, owner: Person, labelled: Database) -> None:
        answer(labelled, 5, "venda")
        save_questions(labelled, [(read_pool(labelled)[5], QuestionKind.SUSPICIOUS)], None)
        assert "Look again at answers that differ from those to similar messages (1)" in owner.see("start")
        page = owner.see("start", again="true")
        assert "Your earlier answer:" in page

        page = owner.send("start", page, label="suporte")

        assert "No more answers to look at again" in page
        assert labelling_state(labelled).answers == {"suporte": 1}

    def test_a_disputed_text_is_an_answer_only_after_a_third_review(self, owner: Person, labelled: Database) -> None:
        ticket, digest = Identity("zendesk", "5"), b"text 5"

        shown = []
        for reviewer, label in (("ana", "venda"), ("rui", "suporte"), ("eva", None), ("rui", "venda")):
            record_review(labelled, ticket, label, reviewer, digest=digest)
            shown.append(re.findall(r"Answers: \d", owner.see("start")))

        assert shown == [["Answers: 1"], ["Answers: 0"], ["Answers: 0"], ["Answers: 1"]]
        assert labelling_state(labelled).answers == {"venda": 1}

    def test_a_suspicious_answer_is_shown_only_to_the_person_who_gave_it(
        self, owner: Person, opened: Services, labelled: Database
    ) -> None:
        answer(labelled, 5, "venda")
        save_questions(labelled, [(read_pool(labelled)[5], QuestionKind.SUSPICIOUS)], None)
        ana = Person(opened, Scope.REVIEW)

        assert "Look again" not in ana.see("start")
        assert "No more answers to look at again" in ana.see("start", again="true")
        assert "Look again" in owner.see("start")
        assert "Your earlier answer:" in owner.see("start", again="true")

    def test_the_pool_has_each_text_with_its_answers(self, labelled: Database) -> None:
        answer(labelled, 2, "venda", "chosen")

        pool = read_pool(labelled)

        assert len(pool) == 30
        assert [(item.text, item.labels, item.kind) for item in pool if item.labels] == [
            ("text 2", ["venda"], "chosen")
        ]


class TestProgress:
    def test_the_estimate_is_shown_with_its_interval(self, owner: Person, labelled: Database) -> None:
        assert "An estimate of the quality needs 20 answers" in owner.see("start")

        save_questions(labelled, [], LabellingProgress(20, 0.86, 0.78, 0.91, 30, None))
        page = owner.see("start")

        assert "86%" in page
        assert "(macro-F1) of a version from 20 answers; 90% interval: 78% to 91%" in page
        assert "About 30 more answers reach 90%." in page

    def test_labels_with_few_answers_are_named_next_to_the_estimate(
        self, owner: Person, labelled: Database, modelless: Triagem
    ) -> None:
        for number in range(9):
            answer(labelled, number, "suporte" if number < 5 else "venda")
        save_questions(labelled, [], LabellingProgress(20, 0.86, 0.78, 0.91, 30, None))

        assert re.search(r"with fewer than five answers: <span[^>]*>venda</span></p>", owner.see("start"))
        assert "not in the estimate, with fewer than 5 answers: venda" in modelless("start").out

    def test_between_twenty_answers_and_the_next_training_the_page_says_when_the_quality_is_estimated(
        self, owner: Person, labelled: Database, modelless: Triagem
    ) -> None:
        for number in range(20):
            answer(labelled, number, "venda")
        assert "An estimate of the quality needs 20 answers, of two or more labels" in owner.see("start")
        for number in range(20, 25):
            answer(labelled, number, "suporte")

        assert "The quality is estimated with the next version or choice of questions." in owner.see("start")
        assert "the quality is estimated with the next version or choice of questions" in modelless("start").out

    @pytest.mark.parametrize("automate", [True, False])
    def test_only_a_version_without_proof_is_reviewed_by_people_throughout(
        self, database: Database, inbox: Inbox, tmp_path: Path, labelled: Database, *, automate: bool
    ) -> None:
        registry = Registry(tmp_path / "models")
        register(registry, thresholds=Thresholds(automate=automate))
        registry.promote("v1.0.0")
        save_questions(labelled, [], LabellingProgress(20, 0.86, 0.78, 0.91, 30, proof_missing=50))
        person = Person(services(database, inbox, models=registry.root), Scope.REVIEW)
        page = person.see("start")

        assert "About 50 more answers may prove that few of its labels are wrong; only the random ones count." in page
        assert "Cerca de 50 respostas a mais podem comprovar que ela erra pouco" in person.see("start", lang="pt")
        assert "v1.0.0 is in use." in page
        assert "until there is a model" not in page
        assert ("A person reviews all its results" in page) is not automate


class TestTraining:
    def test_a_version_is_requested_after_ten_answers_for_each_of_two_labels_and_then_every_ten(
        self, labelled: Database, tmp_path: Path
    ) -> None:
        registry = Registry(tmp_path / "no-models")

        def after(numbers: range, label: str) -> bool:
            for number in numbers:
                answer(labelled, number, label)
                request_due_version(labelled, registry, "owner")
            return JobKind.HEAD in requested(labelled)

        assert not after(range(12), "venda")
        assert not after(range(12, 21), "suporte")
        assert after(range(21, 22), "suporte")
        job = training_jobs.claim(labelled, "t", lease_s=60)
        while job and job.kind is not JobKind.HEAD:
            training_jobs.finish(labelled, job.id, "t", None)
            job = training_jobs.claim(labelled, "t", lease_s=60)
        assert job
        assert job.parameters["answers"] == 22
        training_jobs.finish(labelled, job.id, "t", "v1.0.0")

        after(range(22, 30), "suporte")

        assert requested(labelled).count(JobKind.HEAD) == 1

    def test_none_is_requested_once_a_full_training_has_made_the_current_version(
        self, database: Database, inbox: Inbox, tmp_path: Path, labelled: Database
    ) -> None:
        registry = Registry(tmp_path / "models")
        register(registry)
        registry.promote("v1.0.0")
        for number in range(20):
            answer(labelled, number, ("venda", "suporte")[number % 2])

        page = Person(services(database, inbox, models=registry.root), Scope.REVIEW).see("start")

        assert JobKind.HEAD not in requested(labelled)
        assert "v1.0.0 is in use." in page

    @pytest.mark.parametrize("place", ["the page of a ticket", "HTTP", "a list by HTTP", "label", "import"])
    def test_the_answer_that_completes_the_first_ten_requests_it_wherever_it_is_given(
        self, opened: Services, labelled: Database, modelless: Triagem, tmp_path: Path, place: str
    ) -> None:
        for number in range(19):
            answer(labelled, number, ("venda", "suporte")[number % 2])
        assert requested(labelled) == []
        verdict = {"source": "zendesk", "external_id": "19", "label": "suporte"}

        if place == "the page of a ticket":
            ana = Person(opened, Scope.READ, Scope.REVIEW)
            ana.send("ticket", ana.see("ticket", source="zendesk", id="19"), label="suporte")
        elif place in {"HTTP", "a list by HTTP"}:
            body = verdict if place == "HTTP" else [verdict]
            assert client(opened, Scope.REVIEW).post("/v1/reviews", json=body).status_code == 201
        elif place == "label":
            assert modelless("review", "label", "zendesk", "19", "suporte").status == 0
        else:
            export = tmp_path / "closed.csv"
            export.write_text("id,label\n19,suporte\n", encoding="utf-8")
            assert modelless("review", "import", str(export), "--source", "zendesk").status == 0

        assert requested(labelled).count(JobKind.HEAD) == 1

    def test_the_answers_to_the_next_version_are_shown_while_questions_are_chosen(
        self, owner: Person, labelled: Database, modelless: Triagem
    ) -> None:
        answer(labelled, 1, "venda")
        missing = "Answers missing until the first version: 19 (ten for each of two labels)."

        owner.see("start")  # requests the questions
        page = owner.see("start")

        assert "The choice of the next questions is queued." in page
        assert missing in page
        assert modelless("start").out.splitlines()[2:4] == [
            "the choice of the next questions is queued",
            "19 more answers until the first version: ten for each of two labels",
        ]

    def test_the_command_shows_the_version_in_use_and_the_answers_to_the_next_one(
        self, labelled: Database, modelless: Triagem, tmp_path: Path
    ) -> None:
        registry = Registry(tmp_path / "no-models")
        for number in range(20):
            answer(labelled, number, ("venda", "suporte")[number % 2])
        request_due_version(labelled, registry, "owner")
        assert "a version is queued for training\n10 more" in modelless("start").out
        job = training_jobs.claim(labelled, "t", lease_s=60)
        assert job
        assert "a version is being trained\n10 more answers until the next version" in modelless("start").out
        register(registry, thresholds=Thresholds(automate=False), job=f"{job.id} owner")
        registry.promote("v1.0.0")
        training_jobs.finish(labelled, job.id, "t", "v1.0.0")

        shown = modelless("start").out

        assert "10 more answers until the next version" in shown
        assert "v1.0.0 is in use\na person reviews all its results until" in shown
        assert json.loads(modelless("start", "--json").out)["answers_to_version"] == 10

    def test_the_reason_why_a_version_could_not_be_trained_is_shown(
        self, owner: Person, labelled: Database, modelless: Triagem
    ) -> None:
        training_jobs.request(labelled, JobKind.HEAD, requested_by="owner", parameters={"answers": 20})
        job = training_jobs.claim(labelled, "t", lease_s=60)
        assert job
        training_jobs.fail(labelled, job.id, "t", "the disk is full")

        assert "The last version could not be trained: " in owner.see("start")
        assert "the last version could not be trained: the disk is full" in modelless("start").out

    def test_the_reason_why_the_gate_rejected_a_version_is_shown_until_somebody_promotes_it(
        self, owner: Person, opened: Services, labelled: Database, modelless: Triagem
    ) -> None:
        training_jobs.request(labelled, JobKind.HEAD, requested_by="owner", parameters={"answers": 20})
        job = training_jobs.claim(labelled, "t", lease_s=60)
        assert job
        for _ in range(2):
            register(opened.registry)
        opened.registry.promote("v1.0.0")
        reason = "no test row in common with v1.0.0: train again with the same test rows"
        chance = (
            "rows gained (2) and lost (0) may be chance (McNemar's p 0.500, required is under 0.05): 24 test "
            "rows are too few; showing +0.020 takes about 900"
        )
        training_jobs.finish(labelled, job.id, "t", "v1.1.0", "rejected", error=f"{reason}\n{chance}")
        training_jobs.request(labelled, JobKind.HEAD, requested_by="owner", parameters={"answers": 30})

        page = owner.see("start")
        assert f"v1.1.0 was trained, but did not pass the gate and is not in use: {reason}; rows gained" in page
        page = owner.see("start", lang="pt")
        assert "nenhuma linha de teste" in page
        assert '<span lang="en">' not in page
        assert f"v1.1.0 is not in use, the gate rejected it: {reason}; rows gained" in modelless("start").out
        assert f"\n  {reason}\n  rows gained" in modelless("jobs", "show", str(job.id)).out

        opened.registry.promote("v1.1.0")

        assert "did not pass" not in owner.see("start", lang="en")
        assert "rejected" not in modelless("start").out

        opened.registry.rollback()

        assert "rejected" not in modelless("start").out

    def test_questions_are_requested_when_few_are_left(self, owner: Person, labelled: Database) -> None:
        owner.see("start")
        owner.see("start")

        assert requested(labelled) == [JobKind.EMBED]

    def test_no_job_is_requested_before_there_are_labels_and_messages(
        self, owner: Person, database: Database
    ) -> None:
        owner.see("start")

        assert requested(database) == []
