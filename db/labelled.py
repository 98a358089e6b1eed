"""Texts with the labels that people agree on: what the next version can learn from."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text

from triagem.db.connect import Database
from triagem.db.estimate import Answer, Reach, probability
from triagem.db.reviews import reaches

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Example:
    """A raw text with its label. `inclusion`: how likely it was to be drawn by lot; None for what was not (`stratum`
    says what it was asked for: `unsure`, or None where nobody was asked)."""

    prompt: str
    completion: str
    lang: str | None
    stratum: str | None
    inclusion: float | None


class LeftOut(StrEnum):
    """Why a text with a verdict is nothing to learn from."""

    TEST = "test"
    UNCLEAR = "unclear"
    DISPUTED = "disputed"
    TEXT_GONE = "text_gone"


def agreed(labels: Sequence[str | None]) -> str | LeftOut:
    """The label of a text, given each person's latest verdict, newest first: the newest, if more than half say so."""
    newest = labels[0]
    if newest is None:
        return LeftOut.UNCLEAR
    return newest if 2 * labels.count(newest) > len(labels) else LeftOut.DISPUTED


_VOTES: Final = text("""
SELECT digest, array_agg(label ORDER BY id DESC) AS labels FROM (
  SELECT DISTINCT ON (digest, reviewer) id, digest, label, reviewed_at FROM reviews ORDER BY digest, reviewer, id DESC
) AS latest
GROUP BY digest HAVING max(reviewed_at) >= coalesce(:since, '-infinity'::timestamptz) ORDER BY max(id)
""")
# Of a text that several tickets have, the one judged last that still has it.
_TEXTS: Final = text("""
SELECT DISTINCT ON (r.digest) r.digest, t.text, t.metadata->>'lang' AS lang, t.received_at,
  coalesce(drawn.stratum, r.stratum) AS stratum, drawn.model_version, drawn.classified_at, drawn.inclusion
FROM reviews r JOIN tickets t ON (t.id, t.digest) = (r.ticket_id, r.digest)
LEFT JOIN LATERAL (
  SELECT d.stratum, d.model_version, p.classified_at, d.inclusion
  FROM review_draws d JOIN predictions p USING (ticket_id, digest, model_version)
  WHERE (d.ticket_id, d.digest) = (r.ticket_id, r.digest) ORDER BY d.inclusion IS NULL, d.drawn_at DESC LIMIT 1
) AS drawn ON true
WHERE r.digest = ANY(:digests) AND t.text IS NOT NULL AND t.forgotten_at IS NULL
ORDER BY r.digest, r.id DESC
""")


def labelled(
    database: Database, *, since: datetime | None = None, test: Collection[bytes] = frozenset()
) -> Iterator[Example | LeftOut]:
    """Each text that got a verdict from `since` on, once; `test` are digests of texts that must never be learned."""
    with database.autocommit() as connection:
        votes = [(row.digest, agreed(row.labels)) for row in connection.execute(_VOTES, {"since": since})]
    reached = dict[str, list[Reach]]()
    for start in range(0, len(votes), _PAGE):
        page = votes[start : start + _PAGE]
        with database.autocommit() as connection:
            found = connection.execute(_TEXTS, {"digests": [digest for digest, _ in page]})
            texts = {row.digest: row for row in found}
        for digest, label in page:
            if digest in test:
                yield LeftOut.TEST
            elif isinstance(label, LeftOut):
                yield label
            elif (row := texts.get(digest)) is None:
                yield LeftOut.TEXT_GONE
            else:
                yield Example(row.text, label, row.lang, row.stratum, _probability(database, row, reached))


def _probability(database: Database, row: Any, reached: dict[str, list[Reach]]) -> float | None:
    if row.inclusion is None:
        return None
    if row.model_version not in reached:
        reached[row.model_version] = reaches(database, row.model_version)
    answer = Answer(None, row.received_at, row.classified_at, row.inclusion)
    return probability(answer, reached[row.model_version])
