"""The base is chosen by cross-validation on training rows, per language; ties go to the cheaper."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.rows import texts
from triagem.contracts.model import BaseChoice, BaseScore
from triagem.trainer.data.rows import Row
from triagem.trainer.fit import base_choice
from triagem.trainer.fit.base_choice import MAX_ROWS, best_base, choose_base, comparable_languages


def rows(lang: str, number: int) -> list[Row]:
    """Rows of different texts, every second one a sale."""
    return [
        Row(f"{text} {n} {lang}", ("suporte", "venda")[n % 2], lang)
        for n, text in enumerate(texts(number, seed=sum(map(ord, lang))))
    ]


def embed_by_language(monkeypatch: pytest.MonkeyPatch, **known: Sequence[str]) -> list[str]:
    """Bases whose embeddings show the label only in the named languages. Returns the texts that were embedded."""
    seen: list[str] = []

    def embed(base: str, given: Sequence[str]) -> np.ndarray:
        seen.extend(given)
        rng = np.random.default_rng(7)
        embeddings = rng.normal(size=(len(given), 4))
        for line, text in zip(embeddings, given, strict=True):
            *_, number, lang = text.split()
            if lang in known[base]:
                line[0] += 6 * (int(number) % 2)
        return embeddings

    monkeypatch.setattr(base_choice, "embed", embed)
    return seen


def test_a_base_that_knows_both_languages_is_chosen_though_it_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_by_language(monkeypatch, cheap=["en"], costly=["en", "pt"])

    chosen, choice = choose_base(["cheap", "costly"], rows("en", 60) + rows("pt", 60), seed=42)

    assert (chosen, choice and choice.rows) == ("costly", 120)
    cheap, costly = choice.scores if choice else ()
    assert cheap.macro_f1["en"] > 0.95
    assert cheap.macro_f1["pt"] < 0.75
    assert min(costly.macro_f1.values()) > 0.95


def test_where_only_english_is_spoken_the_cheaper_base_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_by_language(monkeypatch, cheap=["en"], costly=["en", "pt"])

    assert choose_base(["cheap", "costly"], rows("en", 60), seed=42)[0] == "cheap"


def test_a_note_announces_the_comparison_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = embed_by_language(monkeypatch, cheap=["en"], costly=["en"])
    notes: list[tuple[object, ...]] = []

    for bases in (["cheap", "costly"], ["cheap"]):
        choose_base(bases, rows("en", 60), seed=42, on_notes=lambda lines: notes.append((*lines, len(seen))))

    assert notes == [("comparing the installed bases on 60 training rows: cheap, costly", 0)]


def test_copies_count_once_and_the_number_of_rows_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = embed_by_language(monkeypatch, cheap=["en"], costly=["en"])
    given = rows("en", 40)
    choose_base(["cheap", "costly"], given * 20, seed=42)
    assert sorted(seen) == sorted(2 * [row.text for row in given])

    seen.clear()
    choose_base(["cheap", "costly"], rows("en", MAX_ROWS + 300), seed=42)
    assert len(seen) == 2 * MAX_ROWS


@pytest.mark.parametrize("bases", [["cheap"], ["cheap", "costly"]])
def test_without_anything_to_compare_the_cheapest_is_taken_and_nothing_is_computed(
    bases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = embed_by_language(monkeypatch, cheap=["en"], costly=["en"])
    few = [*rows("en", 60), *rows("en", 60)] if len(bases) == 1 else rows("en", 3)  # a label with one text: no folds

    assert choose_base(bases, few, seed=42) == ("cheap", None)
    assert seen == []


def test_a_costlier_base_must_be_better_by_more_than_a_standard_error() -> None:
    def scores(costly: float) -> list[BaseScore]:
        return [BaseScore(base="cheap", macro_f1={"all": 0.90}), BaseScore(base="costly", macro_f1={"all": costly})]

    assert best_base(scores(0.92), {"all": 100}) == "cheap"  # the standard error is 0.03
    assert best_base(scores(0.94), {"all": 100}) == "costly"
    assert best_base(scores(0.92), {"all": 400}) == "costly"


def test_languages_count_equally_and_rare_ones_not_alone() -> None:
    assert comparable_languages(rows("en", 300) + rows("pt", 40) + rows("es", 5)).keys() == {"en", "pt"}
    assert comparable_languages(rows("", 10) + rows("en", 5)) == {"all": list(range(15))}
    cheap = BaseScore(base="cheap", macro_f1={"en": 0.95, "pt": 0.70})
    costly = BaseScore(base="costly", macro_f1={"en": 0.93, "pt": 0.90})
    assert best_base([cheap, costly], {"en": 900, "pt": 100}) == "costly"


def test_the_summary_names_the_choice_and_all_figures() -> None:
    choice = BaseChoice(
        rows=120,
        scores=(
            BaseScore(base="cheap", macro_f1={"en": 0.95, "pt": 0.7}),
            BaseScore(base="costly", macro_f1={"en": 0.93, "pt": 0.9}),
        ),
    )

    assert choice.summary("costly") == (
        "base costly, chosen by cross-validation on 120 training rows (macro-F1 of linear classifiers on frozen "
        "embeddings: cheap en 0.950, pt 0.700; costly en 0.930, pt 0.900); --base chooses another"
    )
