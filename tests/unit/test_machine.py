"""What `triagem doctor` says of the machine: a hint, never a fault."""

import pytest

from triagem.cli.checks import fit

ROOMY = {"cores": 8, "GB of memory": 16, "GB of disk": 5}


@pytest.mark.parametrize(
    ("what", "number", "said"),
    [
        ("cores", 2, "under the minimum for BERT-base, 4 cores"),
        ("GB of memory", 7, "under the minimum for BERT-base, 8 GB of memory"),
        ("GB of disk", 1, "under the minimum for BERT-base, 2 GB of disk"),
        ("cores", 4, "under what is recommended for BERT-base, 8 cores"),
    ],
)
def test_what_is_short_is_named_with_what_would_do(what: str, number: int, said: str) -> None:
    assert fit(ROOMY | {what: number}).endswith(said)


def test_a_machine_that_fits_is_only_described() -> None:
    assert fit(ROOMY) == "8 cores, 16 GB of memory, 5 GB of disk"
