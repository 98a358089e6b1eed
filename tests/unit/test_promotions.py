"""The promotion log and rollbacks: each rollback goes further back, never to a version that was rolled back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import NOW, register
from tests.support.registries import Files, Interrupted, interrupted
from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import CURRENT_FILE, PROMOTIONS_FILE, CurrentModel
from triagem.registry import Registry
from triagem.registry.history import Promotion, PromotionReason, rollback_target


@pytest.fixture
def files(either_files: Files) -> Files:
    """The registry's files; each test that needs a registry runs twice."""
    return either_files


@pytest.fixture
def registry(files: Files, tmp_path: Path) -> Registry:
    """A registry with v1.0.0 to v1.3.0, none of them current."""
    empty = Registry(files.url, cache=tmp_path / "cache", clock=lambda: NOW)
    for _ in range(4):
        register(empty)
    return empty


def test_a_promotion_is_logged_with_all_its_fields(registry: Registry) -> None:
    registry.promote("v1.0.0")
    registry.promote(
        "v1.1.0", PromotionReason(decision="reject", rule="improve", forced=True, reason="the data was fixed")
    )

    first, second = registry.promotions()
    assert (first.version, first.epoch, first.previous, first.decision) == ("v1.0.0", 1, None, "ungated")
    assert second == Promotion(
        at=NOW,
        version="v1.1.0",
        epoch=2,
        previous="v1.0.0",
        rule="improve",
        decision="reject",
        forced=True,
        reason="the data was fixed",
    )


def test_a_rollback_returns_to_the_previously_current_version_not_to_the_previous_number(registry: Registry) -> None:
    registry.promote("v1.0.0")
    registry.promote("v1.3.0")

    assert registry.rollback("worse on Mondays") == registry.current() == CurrentModel(version="v1.0.0", epoch=3)
    assert (registry.promotions()[-1].decision, registry.promotions()[-1].reason) == ("rollback", "worse on Mondays")


def test_two_rollbacks_go_back_two_promotions(registry: Registry) -> None:
    for version in ("v1.0.0", "v1.2.0", "v1.3.0"):
        registry.promote(version)

    assert [registry.rollback().version, registry.rollback().version] == ["v1.2.0", "v1.0.0"]
    with pytest.raises(NoModel, match=r"no version was current before v1\.0\.0"):
        registry.rollback()


def test_a_rollback_skips_a_version_that_was_rolled_back_before(registry: Registry) -> None:
    registry.promote("v1.0.0")
    registry.promote("v1.1.0")
    registry.rollback()
    registry.promote("v1.2.0")

    assert registry.rollback().version == "v1.0.0"


def test_the_first_promoted_version_has_no_predecessor_whatever_its_number(registry: Registry) -> None:
    registry.promote("v1.1.0")  # v1.0.0 was registered but never promoted

    with pytest.raises(NoModel, match=r"no version was current before v1\.1\.0"):
        registry.rollback()


def test_the_version_that_was_current_before_the_log_began_is_remembered(registry: Registry, files: Files) -> None:
    files.write(CURRENT_FILE, CurrentModel(version="v1.0.0", epoch=7).model_dump_json().encode())
    registry.promote("v1.3.0")

    assert registry.rollback().version == "v1.0.0"


def test_a_rollback_from_a_current_written_by_hand_uses_the_log(registry: Registry, files: Files) -> None:
    registry.promote("v1.0.0")
    files.write(CURRENT_FILE, CurrentModel(version="v1.3.0", epoch=2).model_dump_json().encode())

    assert registry.rollback().version == "v1.0.0"


def test_a_rollback_skips_a_removed_version(registry: Registry, files: Files) -> None:
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        registry.promote(version)
    files.remove("v1.1.0")

    assert registry.rollback().version == "v1.0.0"


def test_a_rollback_refuses_a_changed_version(registry: Registry, files: Files, tmp_path: Path) -> None:
    registry.promote("v1.0.0")
    registry.promote("v1.1.0")
    files.write("v1.0.0/weights.txt", b"other weights")

    with pytest.raises(ModelCorrupt):
        Registry(files.url, cache=tmp_path / "no copy here").rollback()
    assert registry.current().version == "v1.1.0"


@pytest.mark.parametrize("steps", range(5))
def test_an_interrupted_promotion_is_atomic(registry: Registry, files: Files, steps: int) -> None:
    registry.promote("v1.0.0")
    registry.promote("v1.1.0")
    try:
        with interrupted(files, after=steps):
            registry.promote("v1.2.0")
    except Interrupted:
        pass
    took_place = registry.current().version == "v1.2.0"

    assert registry.current().epoch == (3 if took_place else 2)
    assert registry.rollback().version == ("v1.1.0" if took_place else "v1.0.0")


def test_an_unreadable_line_of_the_log_is_skipped(registry: Registry, files: Files) -> None:
    registry.promote("v1.0.0")
    files.write(PROMOTIONS_FILE, files.read(PROMOTIONS_FILE) + b'{"at": "2026')
    registry.promote("v1.1.0")

    assert [promotion.version for promotion in registry.promotions()] == ["v1.0.0", "v1.1.0"]
    assert registry.rollback().version == "v1.0.0"


@given(st.lists(st.sampled_from(["v1.0.0", "v1.1.0", "v1.2.0", "back"]), min_size=1, max_size=12))
def test_rollbacks_follow_the_history_of_current_versions(moves: list[str]) -> None:
    log: list[Promotion] = []
    trail: list[str] = []
    for move in moves:
        current = CurrentModel(version=trail[-1], epoch=len(log)) if log else None
        target: str | None = move
        if move == "back":
            while trail and current and trail[-1] == current.version:
                trail.pop()
            target = rollback_target(current, log, ["v1.0.0", "v1.1.0", "v1.2.0"]) if current else None
            assert target == (trail[-1] if trail else None)
            if target is None:
                trail = [current.version] if current else []
                continue
        else:
            trail.append(move)
        assert target
        log.append(
            Promotion(
                at=NOW,
                version=target,
                epoch=len(log) + 1,
                previous=current.version if current else None,
                decision="rollback" if move == "back" else "ungated",
            )
        )
