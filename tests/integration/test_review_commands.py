"""`triagem review` for programs: next, label, accuracy and export."""

import csv
import io
import json
import re
import shutil
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.command import Triagem, assert_one_line
from tests.support.conversations import ManualWorker, current, entries, message
from tests.support.reviewing import NOW, draw, submit_review, sure, trained_on, unsure
from tests.support.version_history import promoted
from tests.support.windows import digest, rows
from triagem.contracts.model import MANIFEST_FILE, ROWS_FILE, SplitDigests
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews.labelling import QuestionKind
from triagem.db.reviews.records import record_review
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.window import write_window
from triagem.trainer.data.rows import read_parts
from triagem.trainer.jobs.full import write_training_data


def review(triagem: Triagem, *arguments: str) -> Any:
    """Runs a review command and returns its JSON output."""
    answer = triagem("review", *arguments, "--json")
    assert answer.status == 0, answer
    return json.loads(answer.out)


class TestNext:
    def test_it_assigns_each_text_once_without_its_prediction(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1", 0.51), unsure("2", 0.52)])

        first, second = (
            review(triagem, "next", "--reviewer", reviewer, "--random-share", "0") for reviewer in ("ana", "rui")
        )

        assert [task["external_id"] for task in first + second] == ["1", "2"]
        assert set(first[0]) == {
            "ticket_id", "digest", "source", "external_id", "text", "revised_at", "received_at", "leased_until",
        }  # fmt: skip
        for form in ((), ("--json",)):
            nothing = triagem("review", "next", *form).err
            assert "no more texts to review; random ones are results of v1.0.0, the current version" in nothing

    def test_a_text_is_printed_as_text(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1", text="[b]\x1b[2J")])

        assert triagem("review", "next").out == "zendesk 1\n[b]\\x1b[2J\n\n"


class TestLabel:
    def test_a_label_takes_effect_at_once(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])

        answer = triagem("review", "label", "zendesk", "1", "suporte", "--reviewer", "ana")

        assert answer.out == "zendesk 1: suporte\n"
        (row,) = json.loads(triagem("results", "--format", "json").out)["results"]
        assert (row["label"], row["reviewer"]) == ("suporte", "ana")

    def test_the_ticket_shows_a_comment_as_text(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])
        assert "comment" not in triagem("show", "zendesk", "1").out
        record_review(database, Identity("zendesk", "1"), "suporte", "ana", comment="não é [b]venda\x1b[2J")

        shown = triagem("show", "zendesk", "1").out

        assert "não é [b]venda" in shown
        assert "\x1b" not in shown

    def test_unclear_is_a_valid_verdict(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1")])

        assert review(triagem, "label", "zendesk", "1", "unclear", "--reviewer", "ana")["label"] is None

        assert rows(database, "reviews")[0]["label"] is None
        for command in (("show", "zendesk", "1"), ("results",), ("results", "--changed-since", "start")):
            assert "ana (unclear)" in triagem(*command).out
        (row,) = csv.DictReader(io.StringIO(triagem("results", "--format", "csv").out.removeprefix("\ufeff")))
        assert (row["reviewer"], row["unclear"]) == ("ana", "True")
        assert json.loads(triagem("results", "--format", "json").out)["results"][0]["unclear"] is True

    def test_a_new_label_is_a_proposal_until_an_administrator_adds_it(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [unsure("1"), unsure("2")])

        answer = triagem("review", "label", "zendesk", "1", "cobranca")
        assert_one_line(answer, "unknown label 'cobranca'", ". --new-label proposes it to an administrator")
        proposed = review(triagem, "label", "zendesk", "1", "cobranca", "--new-label")
        assert (proposed["label"], proposed["proposal"]) == (None, "cobranca")
        assert triagem("review", "label", "zendesk", "2", "cobranca").status == 1
        listed = triagem("labels", "list")
        assert "cobranca" not in listed.out
        assert listed.err.splitlines() == [
            "proposed: cobranca (texts: 1, reviewers: 1); `triagem labels set cobranca --new-label` adds it"
        ]
        assert triagem("labels", "set", "cobranca", "--new-label").status == 0
        assert triagem("labels", "list").err == ""
        assert triagem("review", "label", "zendesk", "2", "cobranca").status == 0
        assert [row["label"] for row in rows(database, "reviews")] == ["cobranca", "cobranca"]

    def test_a_proposal_that_became_the_name_of_a_label_gives_that_label(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        review(triagem, "label", "zendesk", "1", "Vendas", "--new-label")

        assert triagem("labels", "set", "venda", "--name", "Vendas", "--new-label").status == 0

        assert [row["label"] for row in rows(database, "reviews")] == ["venda"]

    def test_a_new_label_that_differs_only_in_spelling_is_the_existing_one(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [unsure("1")])

        assert review(triagem, "label", "zendesk", "1", "Suporte", "--new-label")["label"] == "suporte"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("zendesk", "absent", "venda"), "no such ticket"),
            (("zendesk", "1", "venda", "--digest", "00"), "has changed the text"),
            (("zendesk", "1", "venda", "--digest", "x"), "--digest"),
            (("zendesk", "1", "vend"), "did you mean 'venda'"),
            (("zendesk", "1", "venda", "--reviewer", " "), "--reviewer"),
        ],
    )
    def test_an_error_is_one_line(
        self, triagem: Triagem, database: Database, arguments: tuple[str, ...], message: str
    ) -> None:
        write_window(database, [unsure("1")])

        assert_one_line(triagem("review", "label", *arguments), message)

        assert rows(database, "reviews") == []


class TestAccuracy:
    def test_it_is_printed_with_its_interval_and_strata(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1", label="suporte"), *(sure(str(n), label="venda") for n in range(2, 12))])
        for task in draw(database, 5, random_share=1) + draw(database, 1):
            submit_review(database, task.external_id)

        report = review(triagem, "accuracy")
        table = triagem("review", "accuracy", "--model", "v1.0.0", "--since", "2026-01-01").out

        assert report["model_version"] == "v1.0.0"
        assert report["accuracy"]["low"] <= report["accuracy"]["value"] <= report["accuracy"]["high"]
        assert {stratum["name"] for stratum in report["accuracy"]["strata"]} == {"asked", "sure"}
        assert re.search(r"v1.0.0: accuracy not known yet, at least \d+ more reviews are needed \(5 so far", table)

    def test_accuracy_is_unknown_without_a_random_sample(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("1")])
        submit_review(database, "1")

        assert review(triagem, "accuracy")["accuracy"] is None
        assert "not known yet, at least 16 reviews" in triagem("review", "accuracy").out

    def test_answers_of_the_page_start_are_named_as_the_reason_why_they_do_not_count(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [sure(str(number)) for number in range(30)])
        for number in range(10):
            record_review(database, Identity("zendesk", str(number)), "venda", "ana", kind=QuestionKind.RANDOM)
        reason = "answers of the page Start do not count (10): their texts were selected to train a model"
        assert reason in triagem("review", "accuracy").out

        for task in draw(database, 3, random_share=1):
            submit_review(database, task.external_id)

        assert "to train a model (page Start)" in triagem("review", "accuracy").out

    @pytest.mark.parametrize("known", [True, False])
    def test_reviews_of_training_texts_are_left_out_and_counted(
        self, triagem: Triagem, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
    ) -> None:
        registry = promoted(tmp_path / "m", seen=trained_on(1, 2) if known else None)
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(registry.root))
        write_window(database, [sure(str(number), label="venda") for number in range(5)])
        for task in draw(database, 5, random_share=1):
            submit_review(database, task.external_id)

        report = review(triagem, "accuracy")

        accuracy, expected = report["accuracy"], report["expected"]["reviewed"]
        assert (accuracy["texts"], accuracy["trained"]) == ((3, 2) if known else (5, None))
        assert (expected["texts"], expected["trained"]) == ((3, 2) if known else (5, None))
        line = (
            "reviews left out because v1.0.0 was trained on their texts: 2" if known else "trained on are not known"
        )
        assert line in triagem("review", "accuracy").out


class TestExport:
    @pytest.fixture(autouse=True)
    def models(self, triagem: Triagem, monkeypatch: pytest.MonkeyPatch, instant_models: Path) -> Path:
        """Two versions, of which the first is tested on "text 1"."""
        shutil.copytree(instant_models, "mine")
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "mine")
        tested = SplitDigests(train=(), dev=(), calibration=(), test=(b"text 1".hex(),))
        self.register_rows(Path("mine/v1.0.0"), tested.model_dump_json())
        return Path("mine")

    def register_rows(self, version: Path, content: str) -> None:
        """Write the version's digests of rows, as a training does, and name them in its manifest."""
        (version / ROWS_FILE).write_text(content, encoding="utf-8")
        manifest = json.loads((version / MANIFEST_FILE).read_bytes())
        manifest["files"][ROWS_FILE] = sha256(content.encode()).hexdigest()
        (version / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")

    def exported(self, triagem: Triagem, *arguments: str) -> list[dict[str, Any]]:
        answer = triagem("review", "export", "-", *arguments)
        assert answer.status == 0, answer
        return [json.loads(line) for line in answer.out.splitlines()]

    def test_the_latest_verdict_on_each_text_is_exported_with_its_stratum(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [unsure("2", metadata={"lang": "pt"}), sure("3"), sure("4")])
        draw(database)
        draw(database, random_share=1)
        for name, label in (("2", "suporte"), ("2", "venda"), ("3", "suporte")):
            submit_review(database, name, label)

        by_text = {row["prompt"]: row for row in self.exported(triagem)}

        assert by_text["text 2"].items() >= {"completion": "venda", "lang": "pt"}.items()
        assert by_text["text 3"].items() >= {"completion": "suporte", "stratum": "random"}.items()
        assert 0 < by_text["text 3"]["inclusion"] <= 1
        assert "lang" not in by_text["text 3"]

    def test_a_randomly_sampled_text_keeps_its_stratum_when_it_is_selected_again(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [sure("2")])
        draw(database, random_share=1)
        submit_review(database, "2")
        write_window(database, [unsure("2", model="v1.1.0", epoch=2)])
        with database.autocommit() as connection:
            connection.execute(
                text(
                    "INSERT INTO review_draws (ticket_id, digest, model_version, model_label, stratum)"
                    " SELECT id, digest, 'v1.1.0', 'venda', 'unsure' FROM tickets"
                )
            )

        (row,) = self.exported(triagem)

        assert (row["stratum"], row["inclusion"]) == ("random", 1)

    def test_texts_of_one_period_have_one_sampling_probability(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(2, 60)])
        for _ in range(3):
            for task in draw(database, 5, random_share=1):
                submit_review(database, task.external_id)

        exported_rows = self.exported(triagem)

        assert len(exported_rows) == 15
        assert len({row["inclusion"] for row in exported_rows}) == 1

    def test_test_rows_unclear_and_disputed_ones_and_those_without_text_are_excluded_and_counted(
        self, triagem: Triagem, database: Database
    ) -> None:
        write_window(database, [unsure(str(n)) for n in range(1, 8)])
        for name in map(str, range(1, 8)):
            submit_review(database, name)
        submit_review(database, "2", None)
        submit_review(database, "3", "suporte", "rui")
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET text = NULL WHERE external_id = '4'"))
        write_window(database, [unsure("5", text="another", revised_at=NOW)])
        ticket = Identity("zendesk", "6")
        write_tombstone(database, ticket)
        delete_related(database, ticket)

        summary = review(triagem, "export", "out.jsonl")

        assert summary == {
            "exported": 1,
            "excluded": {"test": 1, "unclear": 1, "disputed": 1, "text_gone": 2},
            "versions_without_rows": ["v1.1.0"],
        }
        assert [json.loads(line)["prompt"] for line in Path("out.jsonl").read_text().splitlines()] == ["text 7"]
        assert Path("out.jsonl").stat().st_mode & 0o077 == 0
        text_output = triagem("review", "export", "out.jsonl").err
        assert "1 exported; excluded: test 1, unclear 1, disputed 1, text gone 2" in text_output
        assert "test texts of v1.1.0" in text_output

    def test_a_text_that_several_tickets_have_is_one_row(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("2", text="same"), unsure("3", text="same")])
        submit_review(database, "2", "venda", "ana")
        submit_review(database, "3", "venda", "rui")

        assert [row["prompt"] for row in self.exported(triagem)] == ["same"]

    def test_since_excludes_earlier_reviews(self, triagem: Triagem, database: Database) -> None:
        write_window(database, [unsure("2"), unsure("3")])
        for name in "23":
            submit_review(database, name)
        with database.autocommit() as connection:
            connection.execute(
                text("UPDATE reviews SET reviewed_at = :then WHERE id = 1"), {"then": NOW - timedelta(days=9)}
            )

        exported_rows = self.exported(triagem, "--since", (NOW - timedelta(days=1)).isoformat())

        assert [row["prompt"] for row in exported_rows] == ["text 3"]

    @pytest.mark.parametrize(("on_reply", "exported"), [("conversation", 4), ("first", 1), ("latest", 1)])
    def test_the_trainer_composes_the_reviewed_text_from_the_messages_of_a_conversation(
        self, triagem: Triagem, database: Database, on_reply: str, exported: int
    ) -> None:
        written = [
            ("customer", "Quero um orçamento do plano anual para a empresa"),
            ("agent", "Segue a proposta"),
            ("customer", "Obrigado!"),
            ("customer", "Minha internet caiu e o sistema não funciona"),
        ]
        ManualWorker(database).process(
            entries(
                message(str(number), words, minute=number, author=author, on_reply=on_reply)
                for number, (author, words) in enumerate(written)
            )
        )
        submit_review(database, "4711")

        assert triagem("review", "export", "out.jsonl").status == 0

        (row,) = read_parts(Path("out.jsonl"))[0]["train"]
        assert digest(row.text) == current(database).digest
        assert len(row.messages) == exported
        (labelled := Path("labelled.jsonl")).write_text('{"prompt": "olá", "completion": "another label"}\n')
        write_training_data(Path("data"), labelled, database)
        assert read_parts(Path("data"))[0]["train"][1:] == (row,)

    def test_messages_are_exported_with_their_authors(self, triagem: Triagem, database: Database) -> None:
        written = [message("1", "Quero um orçamento"), message("2", "Segue", minute=1, author="agent")]
        ManualWorker(database).process(entries(written))
        submit_review(database, "4711")

        (row,) = self.exported(triagem)

        assert (row["prompt"], row["messages"]) == (
            "Quero um orçamento",
            [{"author": "customer", "text": "Quero um orçamento"}, {"author": "agent", "text": "Segue"}],
        )

    def test_where_the_test_rows_cannot_be_read_nothing_is_exported(
        self, triagem: Triagem, database: Database, models: Path
    ) -> None:
        write_window(database, [unsure("2")])
        submit_review(database, "2")
        self.register_rows(models / "v1.0.0", "no JSON")

        assert_one_line(triagem("review", "export", "out.jsonl"), ROWS_FILE)

        assert not Path("out.jsonl").exists()

    def test_where_the_test_rows_were_changed_nothing_is_exported(
        self, triagem: Triagem, database: Database, models: Path
    ) -> None:
        write_window(database, [unsure("2")])
        submit_review(database, "2")
        no_rows = SplitDigests(train=(), dev=(), calibration=(), test=())
        (models / "v1.0.0" / ROWS_FILE).write_text(no_rows.model_dump_json(), encoding="utf-8")

        assert_one_line(triagem("review", "export", "out.jsonl"), ROWS_FILE, "changed since training")

        assert not Path("out.jsonl").exists()

    def test_without_a_registry_nothing_is_exported(self, triagem: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "absent")

        assert_one_line(triagem("review", "export", "out.jsonl"), "no current model")

    def test_an_unwritable_file_is_one_line_and_leaves_nothing(self, triagem: Triagem) -> None:
        assert_one_line(triagem("review", "export", "absent/out.jsonl"), "absent/out.jsonl", "No such file")
        Path("folder").mkdir()
        assert_one_line(triagem("review", "export", "folder"), "folder")
        assert list(Path().glob(".folder*")) == []

    def test_json_together_with_the_rows_is_a_usage_error(self, triagem: Triagem) -> None:
        assert triagem("review", "export", "-", "--json").status == 2
