"""SQL conditions on the reviews of a ticket's current text."""

from enum import StrEnum
from typing import Final

from sqlalchemy import text


class ReviewState(StrEnum):
    """Reviews of the current text: there is one, there is none, reviewers disagree, or this reviewer gave one.

    Reviewers disagree as in `triagem.db.reviews.agreed_labels`: not more than half give the label of the newest.
    """

    REVIEWED = "reviewed"
    OPEN = "open"
    DISPUTED = "disputed"
    MINE = "mine"


_OF_TEXT: Final = (
    "FROM reviews v JOIN tickets k ON (k.id, k.digest) = (v.ticket_id, v.digest) WHERE k.id = results.ticket_id"
)
# With the reviews `v` of a text. Only the latest verdict of each reviewer counts.
_DISPUTED: Final = """
(SELECT count(newest) > 0 AND 2 * count(*) FILTER (WHERE label = newest) <= count(*) FROM (
  SELECT label, first_value(label) OVER (ORDER BY id DESC) AS newest FROM (
    SELECT DISTINCT ON (v.reviewer) v.id, v.label {of_text} ORDER BY v.reviewer, v.id DESC
  ) AS latest
) AS verdicts)
"""
# Whether reviewers disagree about the text of a ticket `t`.
TICKET_DISPUTED: Final = _DISPUTED.format(of_text="FROM reviews v WHERE (v.ticket_id, v.digest) = (t.id, t.digest)")
REVIEW_CONDITIONS: Final = {
    ReviewState.REVIEWED: text("reviewed"),
    ReviewState.OPEN: text("NOT reviewed"),
    ReviewState.DISPUTED: text(f"reviewed AND {_DISPUTED.format(of_text=_OF_TEXT)}"),
    ReviewState.MINE: text(f"reviewed AND EXISTS (SELECT {_OF_TEXT} AND v.reviewer = :reviewer)"),
}
