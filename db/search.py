"""Searching in texts: their words, Portuguese and English, looked at a few seconds after a text was stored.

Not in the window's statement: an index on the texts themselves made it 1.2 to 1.8 times as slow (256 rows; stemmed
by both languages the latter), noting which tickets to look at 1.0 times.
"""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause

from triagem.contracts.ticket import PREDICT
from triagem.db.connect import Database

PAGE: Final = 500
_FEW: Final = 5000
_CHARS: Final = 20_000  # far more than the model reads, far less than a tsvector holds

# Who types "orcamento" means "orçamento": Portuguese is stemmed as it stands and without its accents.
_PLAIN: Final = "translate({}, 'áàâãéêíóôõúüçÁÀÂÃÉÊÍÓÔÕÚÜÇ', 'aaaaeeiooouucAAAAEEIOOOUUC')"
_WORDS: Final = f"""strip(
    to_tsvector('portuguese', said) || to_tsvector('portuguese', {_PLAIN.format("said")})
    || to_tsvector('english', said) || to_tsvector('simple', external_id)
  )"""
_ASKED: Final = f"""(
  plainto_tsquery('portuguese', :words) || plainto_tsquery('portuguese', {_PLAIN.format("CAST(:words AS text)")})
  || plainto_tsquery('english', :words) || plainto_tsquery('simple', :words)
)"""
# Share locks, or a ticket could be forgotten between being read and its words being committed.
_LEARN: Final = text(f"""
WITH due AS (
  DELETE FROM search_due
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM search_due LIMIT :most FOR UPDATE SKIP LOCKED)) RETURNING ticket_id
), fresh AS (
  SELECT t.id, t.digest, t.external_id, left(t.text, {_CHARS}) AS said FROM tickets t
  WHERE t.id IN (SELECT ticket_id FROM due) AND t.text IS NOT NULL AND t.source <> '{PREDICT}'
    AND NOT EXISTS (SELECT FROM ticket_words w WHERE (w.ticket_id, w.digest) = (t.id, t.digest))
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR SHARE OF t
), learned AS (
  INSERT INTO ticket_words (ticket_id, digest, words) SELECT id, digest, {_WORDS} FROM fresh ORDER BY id
  ON CONFLICT (ticket_id) DO UPDATE SET digest = excluded.digest, words = excluded.words
)
SELECT count(*) FROM due
""")  # noqa: S608 - built from the constants above; values travel as parameters


def learn(database: Database, *, for_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> int:
    """Look at the words of tickets that are due, for so long; returns how many there were."""
    ends, seen, page = clock() + for_s, 0, PAGE
    while page == PAGE and clock() < ends:
        with database.autocommit() as connection:
            page = int(connection.execute(_LEARN, {"most": PAGE}).scalar_one())
        seen += page
    return seen


_FIND: Final = text(f"SELECT ticket_id FROM ticket_words WHERE words @@ {_ASKED} LIMIT {_FEW} + 1")  # noqa: S608
_RARE: Final = "ticket_id = ANY (:found)"
# OFFSET 0: the planner must not turn it into a join that reads all that match.
_COMMON: Final = f"""EXISTS (
  SELECT FROM ticket_words w WHERE w.ticket_id = results.ticket_id AND w.words @@ {_ASKED} OFFSET 0
)"""


def matching(connection: Connection, words: str) -> tuple[TextClause, bool]:
    """A condition on the view `results`: tickets with all of these words, in the text or as the id.

    Of words that few texts have the tickets are found first; where many have them, the newest are looked at one by
    one until a page is full. Each is slow where the other is quick.

    Returns:
        The condition, and whether few texts have them.
    """
    found = list(connection.execute(_FIND, {"words": words}).scalars())
    if len(found) <= _FEW:
        return text(_RARE).bindparams(found=found), True
    return text(_COMMON).bindparams(words=words), False
