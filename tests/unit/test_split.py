"""The four parts: nearly the same texts stay together, shares hold, and what was a test row once stays one."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import balanced_rows, rows, texts
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import digest
from triagem.trainer.data import Corpus, Row
from triagem.trainer.split import DataSplit, split

HELD_OUT = ("dev", "calibration", "test")


def corpus(train: Iterable[Row], **given: Sequence[Row]) -> Corpus:
    train = tuple(train)
    labels = tuple(sorted({row.label for row in train}))
    return Corpus(labels, train, **{part: tuple(some) for part, some in given.items()})


def hashes(some: Iterable[Row]) -> frozenset[str]:
    return frozenset(digest(row.text).hex() for row in some)


def by_label(some: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(row.label for row in some))


def next_version(
    parts: DataSplit, train: Iterable[Row], *, start_from: bool = False, **given: Sequence[Row]
) -> DataSplit:
    """The split of a later version, which heeds an earlier one's."""
    seen = parts.digests()
    return split(
        corpus(train, **given),
        seed=42,
        tested=frozenset(seen.test),
        trained=frozenset(seen.train + seen.dev + seen.calibration),
        learned=frozenset(seen.train) if start_from else frozenset(),
    )


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

    def test_what_has_a_file_is_not_drawn(self) -> None:
        dev, calibration, test = (balanced_rows(1, seed) for seed in (10, 20, 30))

        parts = split(corpus(balanced_rows(20), dev=dev, calibration=calibration, test=test), seed=42)

        assert [parts.train, parts.dev, parts.calibration, parts.test] == [
            tuple(some) for some in (balanced_rows(20), dev, calibration, test)
        ]
        assert parts.notes == ()

    def test_small_data_have_no_calibration_part_and_say_so(self) -> None:
        parts = split(corpus(balanced_rows(490)), seed=42)

        assert parts.calibration == ()
        assert len(parts.train + parts.dev + parts.test) == 980
        assert parts.notes == (
            "no calibration part is split off: it would have 98 rows, fewer than 100",
            "split off train: 196 test rows, 98 dev rows",
        )

    def test_a_label_of_three_texts_has_one_in_each_part_but_calibration(self) -> None:
        parts = split(corpus(balanced_rows(40) + rows(3, "cobranca", seed=9)), seed=42)

        assert [by_label(part)["cobranca"] for part in (parts.train, parts.dev, parts.test)] == [1, 1, 1]

    def test_a_label_of_two_texts_has_one_to_learn_from_and_one_to_test_on(self) -> None:
        parts = split(corpus(balanced_rows(40) + rows(2, "cobranca", seed=9)), seed=42)

        assert [by_label(part).get("cobranca", 0) for part in (parts.train, parts.dev, parts.test)] == [1, 0, 1]
        assert "no dev row has the label cobranca" in parts.notes

    def test_a_rare_label_among_near_copies_of_a_frequent_one_is_held_out_too(self) -> None:
        pairs = [Row(f"cobranca {row.text} ", "cobranca") for row in rows(3, "suporte")]

        parts = split(corpus(balanced_rows(40) + pairs), seed=42)

        assert all("cobranca" in by_label(part) for part in (parts.train, parts.dev, parts.test))

    def test_a_part_is_not_filled_with_copies_of_one_text(self) -> None:
        parts = split(corpus(balanced_rows(50) + rows(1, "venda", seed=7) * 12), seed=42)

        assert max(Counter(row.text for row in parts.test + parts.dev).values()) == 1

    def test_a_label_of_two_texts_is_tested_on_the_one_with_fewer_copies(self) -> None:
        copies = rows(1, "cobranca", seed=9) * 3 + rows(1, "cobranca", seed=8) * 2

        assert by_label(split(corpus(balanced_rows(40) + copies), seed=42).test)["cobranca"] == 2

    def test_a_part_of_few_texts_in_many_copies_is_told(self) -> None:
        """The public exercise's 20 sentences, without its leaked test."""
        notes = split(corpus(balanced_rows(10) * 25), seed=42).notes

        assert "the 100 test rows have only 4 different texts: a score on them is not informative" in notes

    @pytest.mark.parametrize("part", ["test", "dev"])
    def test_too_few_different_rows_for_a_part_are_refused(self, part: str) -> None:
        other = {"test": "dev", "dev": "test"}[part]
        few = corpus([row for row in balanced_rows(1) for _ in range(30)], **{other: balanced_rows(2, 5)})

        with pytest.raises(InvalidInput, match=rf"no row remains for {part}: add a file {part}\.jsonl, or rows"):
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
        made = [
            Row(text + "!" * copy, label, lang)
            for text, (copies, label, lang) in zip(texts(len(groups)), groups, strict=True)
            for copy in range(copies)
        ]
        made += [row for label in "ab" for row in rows(3, label, seed=5)]

        parts = split(corpus(made), seed=seed)

        placed = {part: getattr(parts, part) for part in ("train", *HELD_OUT)}
        assert Counter(row for some in placed.values() for row in some) == Counter(made)
        sentences = [{row.text.rstrip("!") for row in some} for some in placed.values()]
        assert sum(map(len, sentences)) == len(set().union(*sentences))
        assert all(set(by_label(placed[part])) == {"a", "b"} for part in ("train", "dev", "test"))

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        shuffled = balanced_rows(60)
        random.Random(3).shuffle(shuffled)

        assert split(corpus(shuffled), seed=42).digests() == split(corpus(balanced_rows(60)), seed=42).digests()

    def test_the_rows_of_a_part_keep_the_order_of_their_file(self) -> None:
        train = balanced_rows(30)
        places = {row: place for place, row in enumerate(train)}

        parts = split(corpus(train), seed=42)

        assert all([*some] == sorted(some, key=places.__getitem__) for some in (parts.train, parts.dev, parts.test))

    def test_another_seed_draws_other_rows(self) -> None:
        assert (
            split(corpus(balanced_rows(60)), seed=42).digests() != split(corpus(balanced_rows(60)), seed=43).digests()
        )

    def test_a_few_rows_more_hardly_move_the_others(self) -> None:
        before = split(corpus(balanced_rows(300)), seed=42)
        after = split(corpus(balanced_rows(300) + balanced_rows(10, 50)), seed=42)

        for part in ("dev", "test"):
            assert len(set(getattr(before, part)) - set(getattr(after, part))) <= 0.1 * len(getattr(before, part))

    def test_the_digests_are_those_of_the_clean_texts_each_once(self) -> None:
        parts = split(corpus([*balanced_rows(20), *balanced_rows(20)]), seed=42)

        assert parts.digests().train == tuple(sorted(hashes(parts.train)))
        assert parts.digests().test == tuple(sorted(hashes(parts.test)))
        assert len(parts.digests().dev) == len(parts.dev) / 2 == 4


class TestLaterVersions:
    def test_a_row_that_was_once_in_test_stays_there(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        later = next_version(first, balanced_rows(100) + balanced_rows(50, 50))

        assert set(first.test) <= set(later.test)
        assert f"{len(first.test)} training rows become test rows" in later.notes[0]

    def test_so_does_what_is_nearly_such_a_row(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        near = Row(first.test[0].text + "!", "suporte")

        assert near in next_version(first, [*balanced_rows(50), near]).test

    def test_also_where_the_test_has_a_file_now(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        test = balanced_rows(10, 30)

        assert next_version(first, balanced_rows(50), test=test).test[: len(test)] == tuple(test)
        assert set(next_version(first, balanced_rows(50), test=test).test) == set(test) | set(first.test)

    def test_a_row_that_is_in_the_tests_file_already_comes_in_no_second_time(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)

        later = next_version(first, balanced_rows(50), test=first.test)

        assert later.test == first.test
        assert not hashes(later.train) & hashes(first.test)

    def test_the_same_rows_are_split_as_before(self) -> None:
        first = split(corpus(balanced_rows(600)), seed=42)

        assert next_version(first, balanced_rows(600)).digests() == first.digests()

    def test_the_test_grows_by_a_fifth_of_the_new_rows_and_none_that_a_version_has_seen(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)
        new = balanced_rows(50, 50)

        later = next_version(first, balanced_rows(100) + new)

        assert len(set(later.test) & set(new)) == 20
        assert set(later.test) <= set(first.test) | set(new)

    def test_a_new_label_is_tested_on_its_new_rows(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        later = next_version(first, balanced_rows(100) + rows(30, "cobranca", seed=9))

        assert by_label(later.test) == {"suporte": 20, "venda": 20, "cobranca": 6}

    def test_a_single_new_row_of_a_label_that_has_test_rows_is_learned_from(self) -> None:
        first = split(corpus(balanced_rows(100)), seed=42)

        assert next_version(first, balanced_rows(100) + rows(1, "venda", seed=9)).test == first.test

    def test_test_rows_that_an_earlier_version_has_seen_stay_in_the_file_and_are_counted(self) -> None:
        first = split(corpus(balanced_rows(50)), seed=42)
        known, new = first.train[:3] + first.dev[:1], balanced_rows(10, 30)

        later = next_version(first, balanced_rows(20, 60), test=[*known, *new])

        assert later.test == (*known, *new)
        assert any(note.startswith("of 24 test rows, 4 are not new") for note in later.notes)

    def test_where_every_row_was_seen_there_is_no_fresh_test(self) -> None:
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
    def test_what_the_version_to_start_from_learned_is_not_held_out(self, part: str) -> None:
        first = split(corpus(balanced_rows(400)), seed=42)
        assert first.calibration == ()

        later = next_version(first, balanced_rows(400) + balanced_rows(300, 50), start_from=True)

        assert len(getattr(later, part)) >= 100
        assert set(first.train).isdisjoint(getattr(later, part))
