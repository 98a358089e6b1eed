"""The split into four parts: near duplicates stay together, shares hold, and test rows remain test rows later."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import balanced_rows, rows, texts
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import digest
from triagem.trainer.data.audit import audit
from triagem.trainer.data.near_duplicates import MIN_TEXTS, distinct_rows
from triagem.trainer.data.rows import Corpus, Row
from triagem.trainer.data.split import split, split_digests

HELD_OUT = ("dev", "calibration", "test")


def corpus(train: Iterable[Row], **given: Any) -> Corpus:
    train = tuple(train)
    labels = tuple(sorted({row.label for row in train}))
    return Corpus(labels, train, **{part: tuple(part_rows) for part, part_rows in given.items()})


def digests_of(part: Iterable[Row]) -> frozenset[str]:
    return frozenset(digest(row.text).hex() for row in part)


def by_label(part: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(row.label for row in part))


def next_version(parts: Corpus, train: Iterable[Row], *, start_from: bool = False, **given: Sequence[Row]) -> Corpus:
    """The split of a later version, which takes an earlier split into account."""
    seen = split_digests(parts)
    return split(
        corpus(train, **given),
        seed=42,
        tested=frozenset(seen.test),
        trained=frozenset(seen.train + seen.dev + seen.calibration),
        learned=frozenset(seen.train) if start_from else frozenset(),
    )


def test_the_different_texts_of_the_parts_add_up_to_those_of_all_rows() -> None:
    """The weights of a part's n-grams differ from those of all rows, and so do the near-duplicates among its rows."""
    rng, words = random.Random(3), [text[:6] for text in texts(40)]
    beginnings = ("bom dia gostaria de saber", "oi tudo bem preciso entender", "ola por favor me informem")
    train = [
        Row(f"{rng.choice(beginnings)} sobre {' '.join(rng.choices(words, k=3))} do meu contrato anual", label)
        for label in ("suporte", "venda") * 100
    ]
    parts = split(corpus(train), seed=1)

    different = sum(len(distinct_rows(part)) for part in (parts.train, *parts.held_out().values()))
    assert different == audit(corpus(train)).texts < len(train)


class TestShares:
    def test_a_fifth_is_the_test_and_a_tenth_each_are_dev_and_calibration(self) -> None:
        parts = split(corpus(rows(900, "suporte") + rows(300, "venda", seed=2)), seed=42)

        assert by_label(parts.test) == {"suporte": 180, "venda": 60}
        assert by_label(parts.dev) == by_label(parts.calibration) == {"suporte": 90, "venda": 30}
        assert by_label(parts.train) == {"suporte": 540, "venda": 180}
        assert parts.notes == ("split off train: 240 test rows, 120 dev rows, 120 calibration rows",)

    def test_each_language_has_its_share_of_each_label(self) -> None:
        train = [
            row
            for seed, (label, lang, count) in enumerate(
                [("suporte", "pt", 60), ("suporte", "en", 20), ("venda", "pt", 20), ("venda", "en", 40)]
            )
            for row in rows(count, label, lang=lang, seed=seed)
        ]

        parts = split(corpus(train), seed=42)

        assert Counter((row.label, row.lang) for row in parts.test) == {
            ("suporte", "pt"): 12,
            ("suporte", "en"): 4,
            ("venda", "pt"): 4,
            ("venda", "en"): 8,
        }

    def test_a_part_with_its_own_file_is_not_split_off(self) -> None:
        dev, calibration, test = (balanced_rows(count, seed) for count, seed in ((5, 10), (5, 20), (50, 30)))

        parts = split(corpus(balanced_rows(20), dev=dev, calibration=calibration, test=test), seed=42)

        assert [parts.train, parts.dev, parts.calibration, parts.test] == [
            tuple(part) for part in (balanced_rows(20), dev, calibration, test)
        ]
        assert parts.notes == ()

    def test_small_data_have_no_calibration_part_and_a_note_says_so(self) -> None:
        parts = split(corpus(balanced_rows(490)), seed=42)

        assert parts.calibration == ()
        assert len(parts.train + parts.dev + parts.test) == 980
        assert parts.notes == (
            "no calibration part is split off: it would have 98 different texts, fewer than 100",
            "split off train: 196 test rows, 98 dev rows",
        )

    def test_a_label_of_three_texts_has_one_in_each_part_but_calibration(self) -> None:
        parts = split(corpus(balanced_rows(50) + rows(3, "cobranca", seed=9)), seed=42)

        assert [by_label(part)["cobranca"] for part in (parts.train, parts.dev, parts.test)] == [1, 1, 1]

    def test_a_label_of_two_texts_has_one_training_text_and_one_test_text(self) -> None:
        parts = split(corpus(balanced_rows(50) + rows(2, "cobranca", seed=9)), seed=42)

        assert [by_label(part).get("cobranca", 0) for part in (parts.train, parts.dev, parts.test)] == [1, 0, 1]
        assert "no dev row has the label cobranca" in parts.notes

    def test_a_rare_label_among_near_copies_of_a_frequent_one_is_held_out_too(self) -> None:
        pairs = [Row(f"cobranca {row.text} ", "cobranca") for row in rows(3, "suporte")]

        parts = split(corpus(balanced_rows(50) + pairs), seed=42)

        assert all("cobranca" in by_label(part) for part in (parts.train, parts.dev, parts.test))

    def test_a_part_is_not_filled_with_copies_of_one_text(self) -> None:
        parts = split(corpus(balanced_rows(50) + rows(1, "venda", seed=7) * 12), seed=42)

        assert max(Counter(row.text for row in parts.test + parts.dev).values()) == 1

    def test_a_label_of_two_texts_is_tested_on_the_one_with_fewer_copies(self) -> None:
        copies = rows(1, "cobranca", seed=9) * 3 + rows(1, "cobranca", seed=8) * 2

        assert by_label(split(corpus(balanced_rows(40) + copies), seed=42).test)["cobranca"] == 2

    def test_a_part_with_few_texts_in_many_copies_is_reported(self) -> None:
        """The original sample data: 20 sentences in many copies, here without leaked test rows."""
        notes = split(corpus(balanced_rows(10) * 25), seed=42).notes

        assert "the 100 test rows have only 4 different texts: a score on them is not informative" in notes

    def test_a_dev_part_of_few_different_texts_is_not_split_off(self) -> None:
        """Of 20 sentences in 25 copies each, dev would take 25 rows per label: two sentences that train needs."""
        parts = split(corpus(balanced_rows(10) * 25), seed=42)

        assert (len(parts.train), parts.dev, len(parts.test)) == (400, (), 100)
        assert parts.notes[:3] == (
            "no dev part is split off: it would have 2 different texts, fewer than 10; the last checkpoint is kept",
            "no calibration part is split off: it would have 2 different texts, fewer than 100",
            "split off train: 100 test rows (4 different texts)",
        )

    def test_copies_do_not_make_a_calibration_part(self) -> None:
        assert split(corpus(balanced_rows(490) * 3), seed=42).calibration == ()

    def test_a_dev_file_of_few_different_texts_is_reported(self) -> None:
        notes = split(corpus(balanced_rows(20), dev=balanced_rows(2, 5) * 9, test=balanced_rows(9, 7)), seed=42).notes

        assert "dev has 4 different texts, fewer than 10: the last checkpoint is kept" in notes

    def test_too_few_different_rows_for_a_test_are_refused(self) -> None:
        few = corpus([row for row in balanced_rows(1) for _ in range(30)])

        with pytest.raises(InvalidInput, match="too few different texts: the 60 rows have only 2, one of each"):
            split(few, seed=42)


class TestGroups:
    @settings(max_examples=20, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from("ab"), st.sampled_from(["pt", "en", ""])), min_size=30),
        st.integers(0, 99),
    )
    def test_no_text_has_a_near_copy_in_another_part_and_no_row_is_lost(
        self, groups: list[tuple[int, str, str]], seed: int
    ) -> None:
        generated = [
            Row(text + "!" * copy, label, lang)
            for text, (copies, label, lang) in zip(texts(len(groups)), groups, strict=True)
            for copy in range(copies)
        ]
        generated += [row for label in "ab" for row in rows(3, label, seed=5)]

        parts = split(corpus(generated), seed=seed)

        placed = {part: getattr(parts, part) for part in ("train", *HELD_OUT)}
        assert Counter(row for part in placed.values() for row in part) == Counter(generated)
        sentences = [{row.text.rstrip("!") for row in part} for part in placed.values()]
        assert sum(map(len, sentences)) == len(set().union(*sentences))
        assert all(set(by_label(placed[part])) == {"a", "b"} for part in ("train", "test"))
        assert not parts.dev or len(distinct_rows(parts.dev)) >= MIN_TEXTS

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        shuffled = balanced_rows(60)
        random.Random(3).shuffle(shuffled)

        first, second = (split(corpus(rows), seed=42) for rows in (shuffled, balanced_rows(60)))
        assert split_digests(first) == split_digests(second)

    def test_the_rows_of_a_part_keep_the_order_of_their_file(self) -> None:
        train = balanced_rows(60)
        positions = {row: index for index, row in enumerate(train)}

        parts = split(corpus(train), seed=42)

        assert all(
            [*part] == sorted(part, key=positions.__getitem__) for part in (parts.train, parts.dev, parts.test)
        )

    def test_another_seed_gives_another_split(self) -> None:
        first, second = (split(corpus(balanced_rows(60)), seed=seed) for seed in (42, 43))
        assert split_digests(first) != split_digests(second)

    def test_a_few_more_rows_hardly_change_the_split(self) -> None:
        before = split(corpus(balanced_rows(300)), seed=42)
        after = split(corpus(balanced_rows(300) + balanced_rows(10, 50)), seed=42)

        for part in ("dev", "test"):
            assert len(set(getattr(before, part)) - set(getattr(after, part))) <= 0.1 * len(getattr(before, part))

    def test_the_digests_are_those_of_the_cleaned_texts_without_duplicates(self) -> None:
        parts = split(corpus([*balanced_rows(50), *balanced_rows(50)]), seed=42)

        assert split_digests(parts).train == tuple(sorted(digests_of(parts.train)))
        assert split_digests(parts).test == tuple(sorted(digests_of(parts.test)))
        assert len(split_digests(parts).dev) == len(parts.dev) / 2 == 10


class TestLaterVersions:
    def test_a_test_row_stays_a_test_row_in_later_versions(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        later = next_version(first, balanced_rows(100) + balanced_rows(50, 50))

        assert set(first.test) <= set(later.test)
        assert f"{len(first.test)} training rows become test rows" in later.notes[0]

    def test_a_near_duplicate_of_a_test_row_becomes_a_test_row(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        near = Row(first.test[0].text + "!", "suporte")

        assert near in next_version(first, [*balanced_rows(50), near]).test

    def test_earlier_test_rows_are_added_to_a_test_file(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        test = balanced_rows(10, 30)

        assert next_version(first, balanced_rows(50), test=test).test[: len(test)] == tuple(test)
        assert set(next_version(first, balanced_rows(50), test=test).test) == set(test) | set(first.test)

    def test_a_row_that_is_already_in_the_test_file_is_not_added_again(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)

        later = next_version(first, balanced_rows(50), test=first.test)

        assert later.test == first.test
        assert not digests_of(later.train) & digests_of(first.test)

    def test_the_same_rows_are_split_as_before(self) -> None:
        first = split(corpus(balanced_rows(600)), seed=42)

        assert split_digests(next_version(first, balanced_rows(600))) == split_digests(first)

    def test_the_test_part_grows_by_a_fifth_of_the_new_rows_and_by_no_seen_row(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)
        new = balanced_rows(50, 50)

        later = next_version(first, balanced_rows(100) + new)

        assert len(set(later.test) & set(new)) == 20
        assert set(later.test) <= set(first.test) | set(new)

    def test_a_new_label_is_tested_on_its_new_rows(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        later = next_version(first, balanced_rows(100) + rows(30, "cobranca", seed=9))

        assert by_label(later.test) == {"suporte": 20, "venda": 20, "cobranca": 6}

    def test_a_single_new_row_of_a_label_with_test_rows_is_a_training_row(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        assert next_version(first, balanced_rows(100) + rows(1, "venda", seed=9)).test == first.test

    def test_test_rows_that_an_earlier_version_has_seen_stay_in_the_file_and_are_counted(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        known, new = first.train[:3] + first.dev[:1], balanced_rows(10, 30)

        later = next_version(first, balanced_rows(20, 60), test=[*known, *new])

        assert later.test == (*known, *new)
        assert any(
            note.startswith("test rows that earlier versions were trained or tuned on: 4 of 24;")
            for note in later.notes
        )

    def test_when_all_rows_were_seen_the_split_is_refused(self) -> None:
        first = split(corpus(balanced_rows(50), test=balanced_rows(10, 30)), seed=42)

        with pytest.raises(
            InvalidInput, match=r"no row remains for test: add a file test\.jsonl, or rows that no earlier"
        ):
            next_version(first, balanced_rows(50))

    def test_a_label_whose_rows_are_all_test_rows_cannot_be_learned(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        tested = [row for row in first.test if row.label == "venda"]

        with pytest.raises(InvalidInput, match="no training row remains with the label 'venda'"):
            next_version(first, [*rows(50, "suporte"), *tested])

    @pytest.mark.parametrize("part", ["dev", "calibration", "test"])
    def test_training_rows_of_the_starting_version_are_not_held_out(self, part: str) -> None:
        first = split(corpus(balanced_rows(400)), seed=42)
        assert first.calibration == ()

        later = next_version(first, balanced_rows(400) + balanced_rows(300, 50), start_from=True)

        assert len(getattr(later, part)) >= 100
        assert set(first.train).isdisjoint(getattr(later, part))
