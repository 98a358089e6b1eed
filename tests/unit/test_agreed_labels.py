"""The label that a text's reviewers agree on."""

import pytest

from triagem.db.reviews.agreed_labels import Exclusion, majority_label


@pytest.mark.parametrize(
    ("newest_first", "label"),
    [
        (["venda"], "venda"),
        (["venda", "venda", "suporte"], "venda"),
        (["venda", "suporte"], Exclusion.DISPUTED),
        (["suporte", "venda", "venda"], Exclusion.DISPUTED),
        (["venda", None], Exclusion.DISPUTED),
        ([None, "venda", "venda"], Exclusion.UNCLEAR),
    ],
)
def test_the_newest_verdict_counts_if_more_than_half_agree(newest_first: list[str | None], label: str) -> None:
    assert majority_label(newest_first) == label
