"""Embedding samples: a bounded number per version, deleted with forgotten tickets, never at the cost of a ticket."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.support.command import Triagem
from tests.support.engines import EmbeddingNoopModel, embedding_noop, noop
from tests.support.forgetting import FORGOTTEN, forgotten_result
from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.waiting import until
from tests.support.windows import result, rows
from triagem import Publisher
from triagem.contracts.model import Tokens
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.samples import NewSample, first_samples, newest_samples, store_samples
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.inbox import Inbox
from triagem.stack import Endpoints

VERSION = "v1.0.0"


def sample(row: ClassifiedTicket, embedding: Sequence[float] = (0.25, -1.0), lang: str = "pt") -> NewSample:
    return replace(row, detected=lang), embedding


def stored_embeddings(database: Database, number: int, *, first: int, newest: int) -> list[float]:
    """Stores a sample of each of `number` tickets, with the index as embedding; returns the embeddings left."""
    for index in range(number):
        row = result(external_id=str(index))
        write_window(database, [row])
        store_samples(database, [sample(row, [index])], first=first, newest=newest)
    return [row.embedding[0] for row in first_samples(database, VERSION, limit=number)]


class TestStore:
    def test_a_sample_is_stored_with_its_ticket(self, database: Database) -> None:
        write_window(database, [result("A", label="venda", confidence=0.75)])

        assert store_samples(database, [sample(result("A", label="venda", confidence=0.75))]) == 1

        (row,) = newest_samples(database, VERSION, limit=9)
        assert (row.embedding, row.label, row.confidence, row.tokens, row.lang) == (
            [0.25, -1.0], "venda", 0.75, 3, "pt",
        )  # fmt: skip

    def test_a_repeated_sample_changes_nothing(self, database: Database) -> None:
        write_window(database, [result("A")])
        store_samples(database, [sample(result("A"))])
        before = rows(database, "samples")

        assert store_samples(database, [sample(result("A"), [9.0, 9.0])]) == 0

        assert rows(database, "samples") == before

    def test_each_version_has_its_own_samples(self, database: Database) -> None:
        write_window(database, [result("A"), result("A", model="v1.1.0", epoch=2)])

        assert store_samples(database, [sample(result("A")), sample(result("A", model="v1.1.0"))]) == 2

        assert len(newest_samples(database, VERSION, limit=9)) == 1

    def test_no_sample_is_stored_for_an_unknown_ticket(self, database: Database) -> None:
        assert store_samples(database, [sample(result("A"))]) == 0

    def test_no_sample_is_stored_for_a_revised_text(self, database: Database) -> None:
        write_window(database, [result("A")])
        write_window(database, [result("B", minute=1)])

        assert store_samples(database, [sample(result("A"))]) == 0

    def test_no_sample_is_stored_for_a_forgotten_ticket(self, database: Database) -> None:
        write_window(database, [forgotten_result()])
        write_tombstone(database, FORGOTTEN)
        with database.autocommit() as connection:  # with a digest, only the mark shows a tombstone
            connection.execute(text("UPDATE tickets SET digest = :digest"), {"digest": forgotten_result().digest})

        assert store_samples(database, [sample(forgotten_result())]) == 0

    def test_a_locked_ticket_is_skipped_without_waiting(self, database: Database) -> None:
        write_window(database, [result("A")])
        with database.engine.begin() as other:
            other.execute(text("UPDATE tickets SET label = label"))

            assert store_samples(database, [sample(result("A"))]) == 0

    def test_the_first_and_the_newest_samples_stay(self, database: Database) -> None:
        # The newest sample before the last statement, because a statement does not see its own row.
        assert stored_embeddings(database, 9, first=2, newest=3) == [0, 1, 5, 6, 7, 8]

    def test_all_samples_stay_below_the_limits(self, database: Database) -> None:
        assert stored_embeddings(database, 5, first=2, newest=3) == [0, 1, 2, 3, 4]

    def test_the_newest_samples_can_be_limited_by_id(self, database: Database) -> None:
        assert stored_embeddings(database, 4, first=9, newest=9) == [0, 1, 2, 3]
        second = first_samples(database, VERSION, limit=2)[-1]

        assert [row.embedding[0] for row in newest_samples(database, VERSION, limit=9, after=second.id)] == [3, 2]


def test_forgetting_a_ticket_deletes_its_samples(triagem: Triagem, database: Database) -> None:
    neighbour = result(external_id="neighbour")
    write_window(database, [forgotten_result(), neighbour])
    store_samples(database, [sample(forgotten_result()), sample(neighbour)])

    assert triagem("db", "forget", "crm", "4711", "--yes").status == 0

    (left,) = rows(database, "samples")
    assert left["ticket_id"] == _ticket_id(database, "neighbour")


def _ticket_id(database: Database, external_id: str) -> int:
    return next(int(row["id"]) for row in rows(database, "tickets") if row["external_id"] == external_id)


def sample_count(database: Database) -> int:
    return len(rows(database, "samples"))


class TestPipeline:
    def test_live_tickets_are_sampled_after_their_results(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        Publisher(inbox).publish(source="import", external_id="bulk", text="quero um orçamento", lane=Lane.BULK)
        publish(inbox, 40)
        with running(endpoints, instant_models, embedding_noop, sample_share=1.0):
            until(lambda: sample_count(database) == 40)
            until(lambda: drained(inbox))
        assert sample_count(database) == 40
        (row, *_) = rows(database, "samples")
        assert (row["model_version"], row["embedding"], row["tokens"]) == (VERSION, [4.0, 4.0], 4)

    def test_the_real_engine_has_embeddings(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, bert_models: Path
    ) -> None:
        def small(folder: Path) -> LoadedModel:
            return load(folder, EngineSettings(device="cpu", precision="fp32"))

        publish(inbox, 5)
        with running(endpoints, bert_models, small, sample_share=1.0):
            until(lambda: sample_count(database) == 5)
        model = small(bert_models / VERSION)
        (expected,) = model.embed(model.tokenize(["minha internet caiu 0"]))
        (stored_sample,) = (row for row in rows(database, "samples") if row["ticket_id"] == _ticket_id(database, "0"))
        assert stored_sample["embedding"] == pytest.approx(expected, abs=1e-5)

    def test_with_a_share_of_zero_nothing_is_sampled(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        batch_sizes: list[int] = []

        class RecordingModel(EmbeddingNoopModel):
            def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
                batch_sizes.append(len(batch))
                return super().embed(batch)

        publish(inbox, 40)
        with running(endpoints, instant_models, lambda folder: RecordingModel(noop(folder).manifest), sample_share=0):
            until(lambda: drained(inbox))
        assert (batch_sizes, sample_count(database)) == ([], 0)

    @pytest.mark.parametrize("answer", [[float("nan")], []], ids=["not a number", "too few rows"])
    def test_embeddings_that_cannot_be_stored_lose_no_ticket(
        self, answer: list[float], endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        batch_sizes: list[int] = []

        class InvalidEmbeddings(EmbeddingNoopModel):
            def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
                batch_sizes.append(len(batch))
                return [answer for _ in batch][: len(answer) * len(batch)]

        def load_invalid(folder: Path) -> EmbeddingNoopModel:
            return InvalidEmbeddings(noop(folder).manifest)

        publish(inbox, 40)
        with running(endpoints, instant_models, load_invalid, sample_share=1.0) as (_, failed):
            until(lambda: bool(batch_sizes))
            publish(inbox, 50)  # ten more than before
            until(lambda: drained(inbox))
            assert not failed.is_set()
        assert (stored(database), sample_count(database), dead_letter_rows(database)) == (50, 0, [])

    def test_a_database_that_refuses_samples_still_gets_all_results(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        with database.autocommit() as connection:
            connection.execute(text("ALTER TABLE samples RENAME TO elsewhere"))
        try:
            publish(inbox, 40)
            with (
                running(endpoints, instant_models, embedding_noop, sample_share=1.0) as (_, failed),
                capture_logs() as logs,
            ):
                until(lambda: any(entry["event"] == "samples_lost" for entry in logs))
                publish(inbox, 50)
                until(lambda: drained(inbox))
                assert not failed.is_set()
        finally:
            with database.autocommit() as connection:
                connection.execute(text("ALTER TABLE elsewhere RENAME TO samples"))
        assert (stored(database), dead_letter_rows(database)) == (50, [])
