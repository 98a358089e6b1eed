"""Labels: what people read instead of a stored label, its group and description, and whether it is still in use.

Results and reviews store the label itself, which never changes. So renaming, grouping or retiring a label rewrites no
result, and a model's files stay valid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args
from unicodedata import category

from triagem.contracts.errors import InvalidInput
from triagem.contracts.label_spelling import folded_label
from triagem.contracts.unicode_form import normalized
from triagem.db.connect import Database

MAX_LABEL_CHARS: Final = 64
UNCLEAR: Final = "unclear"
_UNCLEAR_WORDS: Final = frozenset(map(folded_label, (UNCLEAR, "can't tell", "can\u2019t tell", "não dá para saber")))
# The console's colours, readable on light and dark pages.
Colour = Literal["blue", "brown", "purple", "green", "pink", "grey"]
COLOURS: Final = get_args(Colour)


def label_name(text: str) -> str:
    """A label, or the name of one, as a person typed it, without invisible characters. Raises InvalidInput."""
    visible = "".join(char for char in text if category(char) != "Cf")
    label = " ".join(normalized("NFC", visible).split())
    if not label or len(label) > MAX_LABEL_CHARS or not label.isprintable():
        raise InvalidInput(f"label {text!r}: expected 1 to {MAX_LABEL_CHARS} printable characters")
    if folded_label(label) in _UNCLEAR_WORDS:
        raise InvalidInput(f"{label!r} is not a label: it means that the label cannot be determined")
    return label


@dataclass(frozen=True, slots=True)
class Label:
    """A stored label. `parent` is the label of its group; a retired label is no longer offered to reviewers.

    `added`: a person added or described it. Without a `colour` the console chooses one by the label's position.
    """

    label: str
    name: str
    parent: str | None
    description: str
    colour: str | None
    retired_at: datetime | None
    added: bool


def list_labels(database: Database) -> list[Label]:
    """All labels that a model predicted, a reviewer gave or a person added."""
    return [
        Label(*row)
        for row in database.rows(
            # An added label without a description has itself as description: see `change_label`.
            "SELECT label, name, parent, coalesce(nullif(description, label), ''), colour, retired_at,"
            " description <> '' FROM labels ORDER BY label"
        )
    ]


_NAMED: Final = """
SELECT label FROM (
  SELECT label, reviewed_at AS at FROM reviews WHERE label = ANY(:labels)
  UNION ALL SELECT object, at FROM audit WHERE action = 'label.set' AND object = ANY(:labels)
) AS named GROUP BY label ORDER BY min(at)
"""


def review_choices(database: Database, model_labels: Iterable[str]) -> list[str]:
    """The labels to offer for a review: first the current model's, then those that a person has added, described or
    given in a review, in the order in which people named or gave them first. Left out are retired labels, labels of
    earlier models, and those that were added only to group others. With this order, neither a new label nor an answer
    moves the keys of other labels."""
    stored, known = list_labels(database), dict.fromkeys(model_labels)
    retired = {label.label for label in stored if label.retired_at}
    reviewed = {*database.scalars("SELECT DISTINCT label FROM reviews WHERE label IS NOT NULL")}
    groups = {label.parent for label in stored}
    others = [
        label.label
        for label in stored
        if label.label not in known
        and (label.label in reviewed or label.description or (label.added and label.label not in groups))
    ]
    if len(others) > 1:
        others = [*dict.fromkeys([*database.scalars(_NAMED, labels=others), *others])]
    return [label for label in (*known, *others) if label not in retired]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A label that reviewers proposed for some texts and that no administrator has added yet."""

    label: str
    reviewers: int
    texts: int


def list_proposals(database: Database) -> list[Proposal]:
    """The proposed labels, the most frequent first."""
    return [
        Proposal(*row)
        for row in database.rows(
            "SELECT proposal, count(DISTINCT reviewer) AS reviewers, count(*) AS texts FROM reviews "
            "WHERE proposal IS NOT NULL AND label IS NULL GROUP BY proposal ORDER BY count(*) DESC, proposal"
        )
    ]


def reject_proposal(database: Database, label: str) -> int:
    """Remove a proposed label from its reviews, which then have no label; returns the number of these reviews."""
    return database.execute(
        "UPDATE reviews SET proposal = NULL WHERE proposal = :label AND label IS NULL", label=label
    )


def stored_label(database: Database, text: str, choices: Iterable[str]) -> str:
    """The label that a typed label means; `text` itself if it is a new one.

    It is one of the `choices` or a stored label, by itself or by its name, or a proposed label. Labels that
    `folded_label` makes equal are one label.
    """
    stored = list_labels(database)
    meanings = {folded_label(proposal.label): proposal.label for proposal in list_proposals(database)}
    meanings |= {folded_label(label.name): label.label for label in stored}
    meanings |= {folded_label(label): label for label in (*(label.label for label in stored), *choices)}
    return text if text in choices else meanings.get(folded_label(text), text)


_CHANGE: Final = """
UPDATE labels SET
  name = coalesce(:name, name), description = coalesce(:description, description), colour = coalesce(:colour, colour),
  parent = CASE WHEN CAST(:parent AS text) IS NULL THEN parent ELSE nullif(:parent, '') END,
  retired_at = CASE WHEN CAST(:retired AS boolean) IS NULL THEN retired_at
    WHEN :retired THEN coalesce(retired_at, now()) END
WHERE label = :label
"""


def change_label(
    database: Database,
    label: str,
    *,
    name: str | None = None,
    parent: str | None = None,
    description: str | None = None,
    colour: Colour | None = None,
    retired: bool | None = None,
    new: bool = False,
) -> None:
    """Change the given properties of a label. An empty `parent` removes the label from its group.

    With `new`, the label is added if it is unknown, and the reviews that proposed it get it. It stays added if its
    description is removed: its row then has the label itself as description, which `list_labels` leaves out.

    Raises:
        InvalidInput: an unknown label (unless it is `new`) or parent, a name in use, or a group inside itself.
    """
    known = {stored.label: stored for stored in list_labels(database)}
    others = [other for other in known.values() if other.label != label]
    used = {folded_label(word): other.label for other in others for word in (other.label, other.name)}
    if label not in known and (same := used.get(folded_label(label))):
        raise InvalidInput(f"{label!r} is the label {same!r}: use this spelling")
    if label not in known and not new:
        raise InvalidInput(f"unknown label {label!r}: known are {', '.join(known) or 'none'}; --new-label adds it")
    if name is not None and (same := used.get(folded_label(name))):
        raise InvalidInput(f"the name {name!r} is in use by the label {same!r}: choose another")
    ancestor = parent or None
    while ancestor is not None:
        if ancestor == label:
            raise InvalidInput(f"{parent!r} is in the group {label!r}: a label cannot be in a group of its own")
        if ancestor not in known:
            raise InvalidInput(f"unknown parent {parent!r}: add it with `triagem labels set PARENT --new-label`")
        ancestor = known[ancestor].parent
    stored = known.get(label)
    added = stored is not None and stored.added
    if (description == "" and added) or (not description and new and not added):
        description = label
    database.execute("INSERT INTO labels (label, name) VALUES (:label, :label) ON CONFLICT DO NOTHING", label=label)
    database.execute(
        _CHANGE, label=label, name=name, parent=parent, description=description, colour=colour, retired=retired
    )
    if new:
        shown = name or (stored.name if stored else label)
        names = {folded_label(label), folded_label(shown)}
        proposals = [proposal.label for proposal in list_proposals(database)]
        database.execute(
            "UPDATE reviews SET label = :label WHERE proposal = ANY(:proposals) AND label IS NULL",
            label=label,
            proposals=[proposal for proposal in proposals if folded_label(proposal) in names],
        )
