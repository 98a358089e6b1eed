"""`triagem doctor`'s description of the machine: warnings, never errors."""

import sys

import pytest

from triagem.cli.checks import CheckWarned
from triagem.cli.commands import doctor
from triagem.cli.commands.doctor import describe_resources

SUFFICIENT = {"cores": 8, "GB of memory": 16, "GB of disk": 5, "GB of GPU memory": 8}


@pytest.mark.parametrize(
    ("resource", "number", "warning"),
    [
        ("cores", 2, "below the minimum for BERT-base: 4 cores"),
        ("GB of memory", 7, "below the minimum for BERT-base: 8 GB of memory"),
        ("GB of disk", 1, "below the minimum for BERT-base: 2 GB of disk"),
        ("cores", 4, "below the recommendation for BERT-base: 8 cores"),
        ("GB of GPU memory", 6, "below the recommendation for BERT-base: 8 GB of GPU memory"),
    ],
)
def test_a_resource_below_the_minimum_or_the_recommendation_is_a_warning(
    resource: str, number: int, warning: str
) -> None:
    with pytest.raises(CheckWarned, match=warning):
        describe_resources(SUFFICIENT | {resource: number})


def test_a_machine_that_fits_is_only_described() -> None:
    assert describe_resources(SUFFICIENT) == "8 cores, 16 GB of memory, 5 GB of disk, 8 GB of GPU memory"


def test_a_machine_without_a_gpu_is_described_without_importing_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triagem.engine.classify", None)  # an import of it fails
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(doctor, "_GPU_DEVICES", ())
    assert doctor._gpu() == "none, the CPU is used"

    monkeypatch.setattr(doctor, "_GPU_DEVICES", ("/dev/null",))
    with pytest.raises(ImportError):
        doctor._gpu()
