"""Four parts of the labelled rows: to learn from, to choose a checkpoint by, to calibrate on, to test on. Pure.

Near-duplicates stay together, each part has its share of each label and language, and a row's place hangs on the seed
and its own text far more than on the other rows: one row more moves hardly any other. (scikit-learn's
StratifiedGroupKFold shuffles all of them anew.)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import Rows
from triagem.contracts.text import digest
from triagem.trainer.data import Corpus, Row
from triagem.trainer.neighbours import groups

# Of the training rows, for a part that has no file. A test of 200 rows tells an accuracy of 0.9 to ±0.04 (95 %);
# dev only ranks a few checkpoints; calibration fits one figure and bounds a precision.
TEST_SHARE: Final = 0.2
DEV_SHARE: Final = 0.1
CALIBRATION_SHARE: Final = 0.1
CALIBRATION_ROWS: Final = 100  # even without one error they bound a precision at 0.97 only (Clopper-Pearson, 95 %)
# A temperature is fitted to the errors: of 301 rows a good model gets 6 wrong, and one seed in five found any.
# Answers out of fold ask every row and hold none back from training, while training that often more is affordable.
CALIBRATION_ROWS_OR_FOLDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Each row's part. `calibration` may be empty; `notes` says in plain words what a person should know."""

    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    calibration: tuple[Row, ...]
    test: tuple[Row, ...]
    notes: tuple[str, ...]

    def rows(self) -> Rows:
        """The digests of each part's texts, each once, sorted."""
        train, dev, calibration, test = map(_digests, (self.train, self.dev, self.calibration, self.test))
        return Rows(train=train, dev=dev, calibration=calibration, test=test)


def split(
    corpus: Corpus,
    *,
    seed: int,
    least_calibration: int = CALIBRATION_ROWS,
    tested: frozenset[str] = frozenset(),
    trained: frozenset[str] = frozenset(),
    learned: frozenset[str] = frozenset(),
) -> Parts:
    """Split off `train` what has no file of its own; `calibration` only if it would hold `least_calibration` rows.

    Which rows go where does not depend on their order.

    Args:
        tested: digests of what earlier versions were tested on: such training rows become test rows, and those that
            are nearly one of them.
        trained: of what earlier versions learned from or were tuned by: never drawn for the test, and counted where
            the test's file holds them.
        learned: of what the version to start from learned from, and its ancestors: never drawn at all.

    Raises:
        InvalidInput: too few different rows for a part, or a label that no training row remains of.
    """
    everything = _groups(corpus.train, seed)
    moved = {group for group in everything if group.digests & tested}
    places = dict.fromkeys(moved, "test")
    notes = []

    def draw(part: str, share: float, of: Sequence[_Group], never: frozenset[str]) -> list[_Group]:
        left = [group for group in everything if group not in places]
        had = {group.label for group in places if places[group] == part}
        scarce = {label for label, count in Counter(group.label for group in left).items() if count < 2}
        drawn = _draw(share, of, [group for group in left if not group.digests & never], had | scarce)
        places.update(dict.fromkeys(drawn, part))
        return drawn

    if moved:
        count = sum(len(group.rows) for group in moved)
        notes.append(f"{count} training rows are test rows now: earlier versions were tested on them, or nearly")
    if not corpus.test:  # drawn from what no version has seen; everything else keeps the role that it had
        fresh = [group for group in everything if not group.digests & (tested | trained)]
        draw("test", TEST_SHARE, fresh, trained)
    if not corpus.dev:
        draw("dev", DEV_SHARE, everything, learned)
    if not corpus.calibration:
        drawn = draw("calibration", CALIBRATION_SHARE, everything, learned)
        if (count := sum(len(group.rows) for group in drawn)) < least_calibration:
            places.update(dict.fromkeys(drawn, "train"))
            notes.append(
                f"no calibration part is split off: it would hold {count} rows, fewer than {least_calibration}"
            )
    sizes = Counter(part for group, part in places.items() if group not in moved for _ in group.rows)
    if off := [f"{sizes[part]} {part} rows" for part in ("test", "dev", "calibration") if sizes[part]]:
        notes.append(f"split off train: {', '.join(off)}")
    parts = _parts(corpus, {row.text: part for group, part in places.items() for row in group.rows})
    if seen := sum(not trained.isdisjoint(_digests([row])) for row in parts["test"]):
        notes.append(
            f"of {len(parts['test'])} test rows {seen} are not new: earlier versions learned from them or were tuned "
            "by them; promotion leaves out those that a compared version learned from"
        )
    return Parts(**parts, notes=(*notes, *_weaknesses(parts, corpus.labels)))


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Rows that say nearly the same. `label` is their rarest, so that a rare label is shared out as what it is."""

    rows: Sequence[Row]
    digests: frozenset[str]
    label: str
    lang: str
    order: str


def _groups(rows: Sequence[Row], seed: int) -> list[_Group]:
    """In an order that the seed gives, and not the rows."""
    members: dict[int, list[Row]] = defaultdict(list)
    for row, number in zip(rows, groups([row.text for row in rows]), strict=True):
        members[number].append(row)
    count = Counter(row.label for row in rows)
    made = []
    for some in members.values():
        label, lang = min(((row.label, row.lang) for row in some), key=lambda one: (count[one[0]], one))
        texts = _digests(some)
        order = sha256(f"{seed} {texts[0]}".encode()).hexdigest()
        made.append(_Group(some, frozenset(texts), label, lang, order))
    return sorted(made, key=lambda group: group.order)


def _draw(share: float, of: Sequence[_Group], pool: Sequence[_Group], content: set[str]) -> list[_Group]:
    """Groups of `pool` with about `share` of the rows of `of`, from each label and language.

    None that is larger than what is still wanted: a part full of copies tells little. A label that gets nothing so
    gets its smallest group, but for the labels that are `content` without.
    """
    drawn = []
    for label in sorted({group.label for group in pool}):
        mine = [group for group in pool if group.label == label]
        wanted, taken = 0.0, 0
        for lang in sorted({group.lang for group in mine}):
            wanted += share * sum(len(group.rows) for group in of if (group.label, group.lang) == (label, lang))
            for group in mine:
                if group.lang == lang and taken + len(group.rows) <= round(wanted):
                    drawn.append(group)
                    taken += len(group.rows)
        if not taken and label not in content:
            drawn.append(min(mine, key=lambda group: (len(group.rows), group.order)))
    return drawn


def _parts(corpus: Corpus, places: dict[str, str]) -> dict[str, tuple[Row, ...]]:
    """The parts' own rows, and those of train by the place of their text, in the file's order."""
    own = {row.text for row in corpus.test}
    parts = {"train": [], "dev": [*corpus.dev], "calibration": [*corpus.calibration], "test": [*corpus.test]}
    for row in corpus.train:
        part = places.get(row.text, "train")
        if part != "test" or row.text not in own:
            parts[part].append(row)
    return {part: tuple(rows) for part, rows in parts.items()}


def _weaknesses(parts: dict[str, tuple[Row, ...]], labels: Sequence[str]) -> Iterator[str]:
    """Notes on what a held-out part cannot tell. Raises InvalidInput where training or testing would be idle."""
    for part, rows in parts.items():
        lacking = [label for label in labels if label not in {row.label for row in rows}]
        if part == "train" and lacking:
            raise InvalidInput(
                f"no row labelled {lacking[0]!r} remains to learn from: all are test rows of earlier versions, or "
                "nearly; add others"
            )
        if part in {"dev", "test"} and not rows:
            raise InvalidInput(
                f"no row remains for {part}: add a file {part}.jsonl, or rows that no earlier version learned from, "
                "two of a label at least that are not nearly the same"
            )
        if rows and lacking:
            yield f"no {part} row is labelled {' or '.join(lacking)}"
        if rows and part != "train" and (texts := len({row.text for row in rows})) <= len(rows) / 2:
            yield f"the {len(rows)} {part} rows are {texts} different texts: a score on them says little"


def _digests(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(sorted({digest(row.text).hex() for row in rows}))
