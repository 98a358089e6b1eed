"""`triagem drift`: compares samples in Postgres with a version's reference; output, exit status and stored report."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.support.builders import manifest, register
from tests.support.command import Triagem
from tests.support.engines import EmbeddingNoopModel
from tests.support.windows import result, rows
from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import REFERENCE_FILE, Tokens
from triagem.db import Database
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.tickets.samples import KEEP_FIRST, store_samples
from triagem.db.tickets.window import write_window
from triagem.registry import Registry
from triagem.trainer.data.rows import Row
from triagem.trainer.monitor.drift import check
from triagem.trainer.monitor.reference import MAX_ROWS, describe_rows, read_reference, write_reference
from triagem.trainer.monitor.tasks import alert_if_drifted

VERSION = "v1.0.0"


class RandomEmbeddings(EmbeddingNoopModel):
    """Random embeddings, seeded by the text's number of words."""

    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        return [np.random.default_rng(len(tokens.ids)).normal(size=4).tolist() for tokens in batch]


MODEL = RandomEmbeddings(manifest())


def texts(number: int, *, words: int = 1) -> list[Row]:
    """Texts of different lengths, from `words` words upward."""
    return [Row("oi " * (words + index), "suporte", "pt") for index in range(number)]


def registered(root: Path, held_out: int) -> Registry:
    """A current version without model files; its reference has `held_out` rows, and 0 means no reference."""
    registry = Registry(root)
    if held_out:
        with registry.staging() as folder:
            write_reference(folder, MODEL, texts(held_out))
            registry.register(folder, manifest())
    else:
        register(registry)
    registry.promote(VERSION)
    return registry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triagem: Triagem) -> Registry:
    """The command's registry, with a reference of 200 rows."""
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    return registered(tmp_path / "models", held_out=200)


def sample(database: Database, number: int, *, start: int = 0, moved: float = 0.0) -> None:
    """Store `number` tickets with a sample each, embedded like the reference's texts or moved away from them."""
    embeddings = describe_rows(MODEL, texts(number)).embeddings + moved
    results = [  # labels are mixed as in the reference
        result(str(index), external_id=f"{start + index}", label=("venda", "suporte")[index % 2])
        for index in range(number)
    ]
    write_window(database, results)
    store_samples(
        database,
        [
            (replace(row, detected="pt"), embedding)
            for row, embedding in zip(results, embeddings.tolist(), strict=True)
        ],
    )


class TestReference:
    def test_what_was_written_is_read_again(self, tmp_path: Path) -> None:
        registry, expected = registered(tmp_path, 12), describe_rows(MODEL, texts(12))

        read = read_reference(registry, VERSION)

        assert read is not None
        assert np.array_equal(read.embeddings, expected.embeddings)
        assert np.array_equal(read.confidences, expected.confidences)
        assert np.array_equal(read.tokens, expected.tokens)
        assert (read.labels, read.langs) == (expected.labels, expected.langs)

    def test_the_labels_are_predictions_not_true_labels(self) -> None:
        assert describe_rows(MODEL, texts(4)).labels == ["suporte", "venda", "suporte", "venda"]

    def test_rows_beyond_the_maximum_are_drawn_by_seed(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            write_reference(tmp_path / name, MODEL, texts(MAX_ROWS + 5))

        first, second = ((tmp_path / name / REFERENCE_FILE).read_bytes() for name in ("first", "second"))
        assert first == second

    def test_a_file_that_was_changed_is_refused(self, tmp_path: Path) -> None:
        registry = registered(tmp_path, 12)
        (registry.folder(VERSION) / REFERENCE_FILE).write_bytes(b"other")

        with pytest.raises(ModelCorrupt, match="changed since training"):
            read_reference(registry, VERSION)

    def test_a_version_may_have_none(self, tmp_path: Path) -> None:
        assert read_reference(registered(tmp_path, 0), VERSION) is None


class TestCommand:
    def test_below_a_hundred_samples_there_is_no_result_and_no_row(
        self, triagem: Triagem, database: Database, registry: Registry
    ) -> None:
        sample(database, 99)

        answer = triagem("drift")

        too_few = "not enough samples of v1.0.0 yet (99 of 100); only live tickets are sampled\n"
        assert (answer.status, answer.out) == (0, too_few)
        assert rows(database, "drift_reports") == []

    def test_shifted_samples_exit_with_status_3(
        self, triagem: Triagem, database: Database, registry: Registry
    ) -> None:
        sample(database, 150, moved=2.0)

        answer = triagem("drift")

        assert answer.status == 3
        assert answer.out.startswith("v1.0.0: drift in embeddings")
        assert "4 of 4 dimensions shifted" in answer.out

    def test_each_comparison_stores_a_row(self, triagem: Triagem, database: Database, registry: Registry) -> None:
        sample(database, 150, moved=2.0)

        printed = json.loads(triagem("drift", "--json").out)

        (row,) = rows(database, "drift_reports")
        assert (row["model_version"], row["rows"], row["reference_rows"]) == (VERSION, 150, 200)
        assert row["drifted"] is printed["drifted"] is True
        assert row["detail"] == {"reference": "held-out rows", "shifts": printed["shifts"]}

    def test_a_version_s_samples_are_its_own(self, triagem: Triagem, database: Database, registry: Registry) -> None:
        with registry.staging() as folder:
            write_reference(folder, MODEL, texts(200))
            registry.register(folder, manifest())
        sample(database, 150)
        registry.promote("v1.1.0")

        assert "v1.1.0 yet (0 of 100)" in triagem("drift").out


class TestFirstSamples:
    def test_from_600_samples_on_the_first_500_are_the_reference(self, database: Database, tmp_path: Path) -> None:
        registry = registered(tmp_path, 200)
        sample(database, KEEP_FIRST, moved=2.0)
        assert check(database, registry).drifted  # compared with the held-out rows
        sample(database, 99, start=KEEP_FIRST, moved=2.0)
        assert check(database, registry).reference == "held-out rows"

        sample(database, 1, start=KEEP_FIRST + 99, moved=2.0)

        report = check(database, registry)
        assert (report.reference, report.rows, report.reference_rows) == ("first samples", 100, 500)

    def test_later_samples_are_compared_with_them(self, database: Database, tmp_path: Path) -> None:
        registry = registered(tmp_path, 0)
        sample(database, KEEP_FIRST, moved=2.0)
        sample(database, 300, start=KEEP_FIRST)

        (embeddings, *_) = check(database, registry).shifts

        assert embeddings.shifted

    def test_a_version_without_held_out_rows_waits_for_them(self, database: Database, tmp_path: Path) -> None:
        registry = registered(tmp_path, 0)
        sample(database, 150)

        (line,) = check(database, registry).lines()

        assert line.startswith(
            "v1.0.0 cannot be compared yet: that needs 100 held-out rows (it has 0) or the first 500"
        )


class TestDailyTask:
    NOVEMBER, DECEMBER = (datetime(2026, month, 30, 3, tzinfo=UTC) for month in (11, 12))

    def test_alerts_of_drift_once_a_month(self, database: Database, registry: Registry) -> None:
        sample(database, 200, moved=3.0)
        assert [
            alert_if_drifted(database, registry, now) for now in (self.NOVEMBER, self.NOVEMBER, self.DECEMBER)
        ] == [
            True,
            False,
            True,
        ]
        newest, _ = newest_alerts(database, undelivered=True, kind="drift", limit=9)
        assert newest.about == "v1.0.0 2026-12"
        assert newest.detail
        assert "drift in embeddings" in newest.detail["summary"]

    def test_raises_no_alert_with_too_few_samples(self, database: Database, registry: Registry) -> None:
        sample(database, 99, moved=3.0)
        assert not alert_if_drifted(database, registry, self.NOVEMBER)
        assert newest_alerts(database, undelivered=True, limit=9) == []
