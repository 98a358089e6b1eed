"""Registry in a folder: concurrent registrations and promotions, and no remains of a killed process."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.builders import manifest, register
from triagem.contracts.model import MANIFEST_FILE
from triagem.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with no version yet."""
    return Registry(tmp_path / "models")


def test_concurrent_registrations_get_distinct_versions(registry: Registry) -> None:
    with ThreadPoolExecutor(max_workers=8) as trainers:
        versions = list(trainers.map(lambda _: register(registry), range(16)))

    assert sorted(versions) == sorted({f"v1.{minor}.0" for minor in range(16)})


def test_concurrent_promotions_each_raise_the_epoch_and_are_logged(registry: Registry) -> None:
    version = register(registry)
    with ThreadPoolExecutor(max_workers=8) as people:
        epochs = list(people.map(lambda _: registry.promote(version).epoch, range(16)))

    assert sorted(epochs) == list(range(1, 17))
    assert [promotion.epoch for promotion in registry.promotions()] == list(range(1, 17))


def test_a_reader_never_sees_half_a_promotion(registry: Registry) -> None:
    version = register(registry)
    registry.promote(version)
    with ThreadPoolExecutor(max_workers=1) as other:
        promoting = other.submit(lambda: [registry.promote(version) for _ in range(50)])
        epochs_seen = []
        while not promoting.done():
            epochs_seen.append(registry.current().epoch)

    assert epochs_seen == sorted(epochs_seen)


def test_a_half_written_version_is_invisible(registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("half", encoding="utf-8")
        (folder / MANIFEST_FILE).write_text(manifest().model_dump_json(), encoding="utf-8")

        assert registry.versions() == []
        assert register(registry) == "v1.0.0"


def test_files_that_were_staged_but_not_registered_are_removed(registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("half", encoding="utf-8")

    assert list(registry.root.iterdir()) == []


def test_a_process_killed_while_it_registers_leaves_whole_versions_and_no_lock(registry: Registry) -> None:
    script = f"""
from datetime import UTC, datetime
from triagem.contracts.model import DataInfo, Manifest
from triagem.registry import Registry
registry = Registry({str(registry.root)!r})
data, now = DataInfo(digest="", rows=0), datetime.now(UTC)
while True:
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("w" * 200_000)
        about = Manifest(version="v0.0.0", labels=("a", "b"), base="", created_at=now, data=data, files={{}})
        registry.register(folder, about)
    print(flush=True)
"""
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)

    killed = registry.versions()
    assert len(killed) >= 2
    assert all(registry.verify(version) for version in killed)
    assert register(registry) == f"v1.{len(killed)}.0"


def test_a_registry_may_be_a_file_url(tmp_path: Path) -> None:
    root = tmp_path / "my models"

    assert Registry(root.as_uri()).root == Registry(str(root)).root == root
