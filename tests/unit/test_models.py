"""The model manager (INV-20): loads versions in the background, swaps them between windows, ignores bad ones."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from structlog.testing import CapturingLogger

from tests.support.builders import Clock, register
from tests.support.engines import noop
from triagem.contracts.errors import DatabaseUnavailable, ModelCorrupt, NoModel, RegistryUnavailable
from triagem.contracts.model import CURRENT_FILE, Model
from triagem.registry import Registry
from triagem.registry.no_model import LOST_STEP
from triagem.worker.models import ModelManager
from triagem.worker.supervisor import Supervisor

TIMEOUT_S = 10.0
EVERY_S = 0.001


class Loader:
    """Loads no-op models, records which, and fails for the versions in `bad`."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.bad: set[str] = set()

    def __call__(self, folder: Path) -> Model:
        self.loaded.append(folder.name)
        if folder.name in self.bad:
            raise ModelCorrupt(f"{folder} is broken")
        return noop(folder)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with v1.0.0, current, and v1.1.0."""
    models = Registry(tmp_path / "models")
    first = register(models)
    register(models)
    models.promote(first)
    return models


@pytest.fixture
def load() -> Loader:
    """A loader without bad versions."""
    return Loader()


@pytest.fixture
def manager(registry: Registry, load: Loader) -> ModelManager:
    """A manager that has loaded v1.0.0."""
    loaded = ModelManager(registry, load, every_s=EVERY_S)
    check_once(loaded)
    return loaded


def check_once(manager: ModelManager) -> None:
    """Make the manager check the registry once."""
    stopping = threading.Event()
    manager.run(stopping, beat=stopping.set)


def current_version(manager: ModelManager) -> tuple[str, int]:
    """Version and epoch of the model for the next window."""
    return manager.current.model.manifest.version, manager.current.epoch


def test_the_current_version_is_loaded_at_the_start(manager: ModelManager) -> None:
    assert current_version(manager) == ("v1.0.0", 1)
    assert manager.ready.is_set()


@pytest.mark.parametrize(
    ("problem", "while_loading"),
    [(NoModel("no current model"), None), (RegistryUnavailable("no answer"), "no answer")],
)
def test_without_a_model_the_manager_waits_for_the_first_one(
    registry: Registry, load: Loader, monkeypatch: pytest.MonkeyPatch, problem: Exception, while_loading: str | None
) -> None:
    def refuse(_: Registry) -> NoReturn:
        raise problem

    waiting_for: list[str | None] = []

    def observed(folder: Path) -> Model:
        waiting_for.append(waiting.waiting_for)
        return load(folder)

    waiting = ModelManager(registry, observed, every_s=EVERY_S)
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "current", refuse)
        check_once(waiting)
        assert (waiting.waiting_for, waiting.ready.is_set()) == (str(problem), False)
    check_once(waiting)

    assert current_version(waiting) == ("v1.0.0", 1)
    assert (waiting_for, waiting.waiting_for) == ([while_loading], None)


def test_a_registry_that_lost_its_versions_is_not_taken_for_one_before_the_first_model(
    load: Loader, tmp_path: Path
) -> None:
    answers: list[bool | Exception] = [DatabaseUnavailable("no answer"), True, DatabaseUnavailable("no answer")]

    def had_model() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    waiting = ModelManager(Registry(tmp_path / "moved"), load, every_s=EVERY_S, had_model=had_model)
    collecting = []
    for _ in range(3):
        check_once(waiting)
        collecting.append(waiting.collecting)

    assert collecting == [True, False, False]
    assert waiting.missing, "tickets are stored"
    assert str(waiting.waiting_for).endswith(
        "moved, which does not exist, but there was one: check TRIAGEM_REGISTRY_URL, or restore the folder"
    )


def test_a_loaded_model_goes_on_while_the_registry_is_gone_and_the_reason_is_reported(
    manager: ModelManager, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = registry.root.rename(registry.root.with_name("moved"))
    # not `capture_logs`: a test that configures the log of a process caches the loggers
    logger = CapturingLogger()
    monkeypatch.setattr("triagem.worker.models.log", logger)
    check_once(manager)

    assert current_version(manager) == ("v1.0.0", 1)
    assert logger.calls[0].kwargs["reason"].endswith(f"which does not exist, {LOST_STEP}")
    assert manager.registry_problem.endswith("check TRIAGEM_REGISTRY_URL; v1.0.0 keeps running")
    moved.rename(registry.root)
    check_once(manager)
    assert manager.registry_problem == ""


def test_a_promoted_version_is_swapped_in(manager: ModelManager, registry: Registry) -> None:
    registry.promote("v1.1.0")
    check_once(manager)

    assert current_version(manager) == ("v1.1.0", 2)


def test_a_window_keeps_the_model_it_was_fetched_with(manager: ModelManager, registry: Registry) -> None:
    window = manager.current
    registry.promote("v1.1.0")
    check_once(manager)

    assert (window.model.manifest.version, window.epoch) == ("v1.0.0", 1)


def test_without_a_change_nothing_is_loaded_again(manager: ModelManager, load: Loader) -> None:
    check_once(manager)
    check_once(manager)

    assert load.loaded == ["v1.0.0"]


def test_a_new_epoch_of_the_same_version_is_adopted_without_loading(
    manager: ModelManager, registry: Registry, load: Loader
) -> None:
    previous = manager.current.model
    registry.promote("v1.0.0")
    check_once(manager)

    assert current_version(manager) == ("v1.0.0", 2)
    assert manager.current.model is previous
    assert load.loaded == ["v1.0.0"]


def test_a_bad_version_leaves_the_previous_one_running(
    manager: ModelManager, registry: Registry, load: Loader
) -> None:
    load.bad = {"v1.1.0"}
    registry.promote("v1.1.0")
    check_once(manager)

    assert current_version(manager) == ("v1.0.0", 1)


def test_a_bad_version_is_tried_once_for_each_promotion(
    manager: ModelManager, registry: Registry, load: Loader
) -> None:
    load.bad = {"v1.1.0"}
    registry.promote("v1.1.0")
    check_once(manager)
    check_once(manager)
    registry.promote("v1.1.0")
    check_once(manager)
    check_once(manager)

    assert load.loaded == ["v1.0.0", "v1.1.0", "v1.1.0"]


def test_a_version_after_a_bad_one_is_swapped_in(manager: ModelManager, registry: Registry, load: Loader) -> None:
    load.bad = {"v1.1.0"}
    registry.promote("v1.1.0")
    check_once(manager)
    registry.promote(register(registry))
    check_once(manager)

    assert current_version(manager) == ("v1.2.0", 3)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda root: (root / CURRENT_FILE).unlink(), id="current is gone"),
        pytest.param(lambda root: (root / CURRENT_FILE).write_text("{", encoding="utf-8"), id="current is broken"),
        pytest.param(shutil.rmtree, id="the folder is gone"),
    ],
)
def test_an_unreadable_registry_leaves_the_previous_version_running(
    manager: ModelManager, registry: Registry, damage: Callable[[Path], object]
) -> None:
    damage(registry.root)
    check_once(manager)

    assert current_version(manager) == ("v1.0.0", 1)


def test_a_bad_version_stays_bad_after_an_unreadable_registry(
    manager: ModelManager, registry: Registry, load: Loader
) -> None:
    load.bad = {"v1.1.0"}
    registry.promote("v1.1.0")
    check_once(manager)
    moved = registry.root.rename(registry.root.with_name("away"))
    check_once(manager)
    moved.rename(registry.root)
    check_once(manager)

    assert load.loaded == ["v1.0.0", "v1.1.0"]


@pytest.fixture
def remote(tmp_path: Path, empty_memory: None) -> Registry:
    """A registry in a remote store, with v1.0.0, current, and v1.1.0."""
    models = Registry("memory://bucket/models", cache=tmp_path / "cache")
    register(models)
    register(models, weights="better weights")
    models.promote("v1.0.0")
    return models


def raise_unreachable(*_: object) -> NoReturn:
    raise ConnectionError("nobody answers")


def test_a_version_in_a_remote_store_is_swapped_in(remote: Registry, load: Loader) -> None:
    manager = ModelManager(remote, load, every_s=EVERY_S)
    check_once(manager)
    remote.promote("v1.1.0")
    check_once(manager)

    assert current_version(manager) == ("v1.1.0", 2)


def test_while_the_store_is_unavailable_the_previous_version_keeps_running(
    remote: Registry, load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = ModelManager(remote, load, every_s=EVERY_S)
    check_once(manager)
    remote.promote("v1.1.0")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", raise_unreachable)
        check_once(manager)
        assert current_version(manager) == ("v1.0.0", 1)
    check_once(manager)

    assert current_version(manager) == ("v1.1.0", 2)


def test_a_download_that_is_cut_off_is_tried_again(
    remote: Registry, load: Loader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = ModelManager(Registry("memory://bucket/models", cache=tmp_path / "workers"), load, every_s=EVERY_S)
    check_once(manager)
    remote.promote("v1.1.0")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", raise_unreachable)
        check_once(manager)
        assert current_version(manager) == ("v1.0.0", 1)
    check_once(manager)

    assert current_version(manager) == ("v1.1.0", 2)


def test_a_hanging_store_does_not_count_as_a_hanging_worker(
    remote: Registry, load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(lambda: None, deadline_s=TIMEOUT_S, clock=(clock := Clock()))
    heartbeat_ages: list[float] = []

    def hang(*_: object) -> NoReturn:
        clock.advance(600)
        heartbeat_ages.append(supervisor.heartbeat_age_s())
        raise_unreachable()

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", hang)
        supervisor.beat()
        check_once(ModelManager(remote, load, every_s=EVERY_S, heartbeat_suspended=supervisor.heartbeat_suspended))

    assert heartbeat_ages == [0.0]


def test_a_first_version_that_cannot_be_loaded_is_an_error(registry: Registry, load: Loader) -> None:
    load.bad = {"v1.0.0"}
    manager = ModelManager(registry, load, every_s=EVERY_S)

    with pytest.raises(ModelCorrupt):
        check_once(manager)
    assert not manager.ready.is_set()


def test_a_requested_reload_ends_the_wait_for_the_next_check(registry: Registry, load: Loader) -> None:
    manager = ModelManager(registry, load, every_s=6 * TIMEOUT_S)
    stopping, checks = threading.Event(), threading.Semaphore(0)
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(manager.run, stopping, checks.release)
        assert manager.ready.wait(TIMEOUT_S)
        checks.acquire()
        registry.promote("v1.1.0")

        manager.request_reload()

        checked_again = checks.acquire(timeout=TIMEOUT_S)
        stopping.set()
        manager.request_reload()
    assert checked_again
    assert current_version(manager) == ("v1.1.0", 2)
