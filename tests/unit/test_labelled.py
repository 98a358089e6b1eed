"""What people agree on."""

import pytest

from triagem.db.labelled import LeftOut, agreed


@pytest.mark.parametrize(
    ("newest_first", "label"),
    [
        (["venda"], "venda"),
        (["venda", "venda", "suporte"], "venda"),
        (["venda", "suporte"], LeftOut.DISPUTED),
        (["suporte", "venda", "venda"], LeftOut.DISPUTED),
        (["venda", None], LeftOut.DISPUTED),
        ([None, "venda", "venda"], LeftOut.UNCLEAR),
    ],
)
def test_the_newest_word_counts_if_more_than_half_say_so(newest_first: list[str | None], label: str) -> None:
    assert agreed(newest_first) == label
