"""Near-duplicate texts: pairs and groups."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from triagem.trainer.data import near_duplicates
from triagem.trainer.data.near_duplicates import distinct_rows, duplicate_groups, near_duplicate_pairs
from triagem.trainer.data.rows import Row

INVOICE = "Recebi a fatura deste mês com o valor em dobro, podem verificar por favor?"
INTERNET = "minha internet caiu de novo e não volta desde ontem"


def pairs(*texts: str) -> list[tuple[int, int]]:
    return list(near_duplicate_pairs(texts))


def test_a_copy_is_a_near_duplicate() -> None:
    assert pairs(INVOICE, INTERNET, INVOICE) == [(0, 2)]


@pytest.mark.parametrize(
    "changed", [INVOICE.upper(), INVOICE.replace("deste mês", "desse mês"), "  " + INVOICE.replace("?", "!")]
)
def test_a_changed_letter_word_or_case_is_a_near_duplicate(changed: str) -> None:
    assert pairs(INVOICE, INTERNET, changed) == [(0, 2)]


def test_texts_of_a_template_with_different_numbers_are_near_duplicates() -> None:
    orders = [f"pedido {number} não chegou ainda, onde está?" for number in range(1000, 4000, 37)]
    invoices = [f"quero a segunda via do boleto {number} por favor" for number in range(5000, 9000, 91)]

    assert len({*duplicate_groups(orders + invoices)}) == 2


def test_another_request_on_the_same_topic_is_not_a_near_duplicate() -> None:
    assert pairs(INVOICE, "Quero receber a fatura por e-mail a partir do próximo mês") == []


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    long = f"{INVOICE} {INTERNET}"
    changes = ("Recebi", "fatura", "valor", "dobro", "verificar", "internet", "volta", "ontem")
    chain = [long]
    for word in changes:
        chain.append(chain[-1].replace(word, "xyz"))

    assert (0, len(chain) - 1) not in pairs(*chain)
    assert len({*duplicate_groups(chain)}) == 1
    assert len({*duplicate_groups([*chain, INTERNET])}) == 2


@pytest.mark.parametrize("texts", [[], [INVOICE]])
def test_few_texts_have_no_pairs(texts: list[str]) -> None:
    assert pairs(*texts) == []
    assert len(duplicate_groups(texts)) == len(texts)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("abc ", min_size=4, max_size=12).filter(str.strip), min_size=2, max_size=9), st.integers(1, 4)
)
def test_blockwise_search_finds_the_pairs_of_a_full_comparison(texts: list[str], block: int) -> None:
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    cosines = cosine_similarity(grams.fit_transform([f" {text} " for text in texts]))
    expected = {(a, b) for a, b in combinations(range(len(texts)), 2) if cosines[a, b] >= 0.8 - 1e-6}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "_BLOCK", block)
        pairs_found = set(near_duplicate_pairs(texts))

    assert pairs_found == expected


def test_copies_and_near_copies_are_one_distinct_row_the_first() -> None:
    rows = [Row(text, "suporte") for text in (INVOICE, INTERNET, INVOICE, INVOICE.upper())]

    assert distinct_rows(rows) == [0, 1]
    assert distinct_rows([]) == []


def test_a_text_with_two_labels_is_distinct_for_each() -> None:
    assert distinct_rows([Row(INVOICE, "suporte"), Row(INVOICE, "venda"), Row(INVOICE, "venda")]) == [0, 1]
