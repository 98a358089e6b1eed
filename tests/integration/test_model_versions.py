"""The registry's versions and promotions in Postgres: copied once, kept, and compared with the registry."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.builders import register
from tests.support.windows import rows
from triagem.contracts.model import MANIFEST_FILE
from triagem.db import Database
from triagem.ops.model_versions import copy_registry
from triagem.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """v1.0.0 (current), v1.1.0 and v1.2.0."""
    registry = Registry(tmp_path / "models")
    for _ in range(3):
        register(registry)
    registry.promote("v1.0.0")
    return registry


def promotions(database: Database) -> list[tuple[int, str]]:
    return [(row["epoch"], row["version"]) for row in rows(database, "model_promotions")]


def test_versions_are_recorded_with_the_digest_of_their_manifest_and_their_labels(
    database: Database, registry: Registry
) -> None:
    copy_registry(database, registry)

    recorded = {row["version"]: row for row in rows(database, "model_versions")}
    assert set(recorded) == {"v1.0.0", "v1.1.0", "v1.2.0"}
    manifest = (registry.folder("v1.1.0") / MANIFEST_FILE).read_bytes()
    assert recorded["v1.1.0"]["manifest_digest"] == sha256(manifest).digest()
    assert recorded["v1.1.0"]["labels"] == ["suporte", "venda"]
    assert [row["label"] for row in rows(database, "labels")] == ["suporte", "venda"]


def test_each_promotion_and_rollback_begins_a_period(database: Database, registry: Registry) -> None:
    copy_registry(database, registry)
    registry.promote("v1.1.0")
    registry.rollback()

    copy_registry(database, registry)

    assert promotions(database) == [(1, "v1.0.0"), (2, "v1.1.0"), (3, "v1.0.0")]
    times: list[Any] = [row["promoted_at"] for row in rows(database, "model_promotions")]
    assert times == sorted(times)


def test_a_second_copy_changes_nothing(database: Database, registry: Registry) -> None:
    copy_registry(database, registry)
    before = rows(database, "model_versions"), rows(database, "model_promotions")

    copy_registry(database, registry)

    assert (rows(database, "model_versions"), rows(database, "model_promotions")) == before


def test_without_a_current_version_only_versions_are_recorded(database: Database, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    register(registry)

    copy_registry(database, registry)

    assert [row["version"] for row in rows(database, "model_versions")] == ["v1.0.0"]
    assert promotions(database) == []


def test_a_damaged_version_is_reported_and_the_others_are_recorded(database: Database, registry: Registry) -> None:
    (registry.folder("v1.1.0") / MANIFEST_FILE).write_text("{}", encoding="utf-8")

    with capture_logs() as logs:
        copy_registry(database, registry)

    assert [entry["version"] for entry in logs if entry["event"] == "version_not_recorded"] == ["v1.1.0"]
    assert {row["version"] for row in rows(database, "model_versions")} == {"v1.0.0", "v1.2.0"}


def test_a_registry_that_is_older_than_what_was_recorded_is_reported(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    registry.promote("v1.1.0")
    copy_registry(database, registry)
    restored = Registry(tmp_path / "restored")
    register(restored)
    restored.promote("v1.0.0")

    with capture_logs() as logs:
        copy_registry(database, restored)

    (entry,) = logs
    assert (entry["event"], entry["current_epoch"], entry["recorded_epoch"]) == ("registry_older_than_results", 1, 2)
    assert promotions(database) == [(1, "v1.0.0"), (2, "v1.1.0")]
