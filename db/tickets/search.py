"""Full-text search, Portuguese and English. Texts are indexed a few seconds after they are stored.

The window's statement only queues the tickets to index, which does not slow it down (factor 1.0). An index on the
texts themselves slowed it down by a factor of 1.2 to 1.8 (256 rows; 1.8 with stemming in both languages).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.sql.elements import TextClause

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database
from triagem.db.tickets.known_values import SOURCES

PAGE: Final = 500
_MAX_RARE: Final = 2000  # reading as many tickets from all over a disk takes 0.7 s
_SAMPLED_PAGES: Final = 100  # of the table of lexemes: about 4,000 tickets
_COMMON_IN_SAMPLE: Final = 20
_NEWEST: Final = 20_000

# "orcamento" must find "orçamento": Portuguese is stemmed with and without accents.
_ACCENTS: Final = "'áàâãéêíóôõúüçÁÀÂÃÉÊÍÓÔÕÚÜÇ', 'aaaaeeiooouucAAAAEEIOOOUUC'"
# `left` limits a text to far more than the model reads and far less than a tsvector holds.
# Share locks: without them, a ticket could be forgotten after it is read and before its lexemes are committed.
_INDEX: Final = text(f"""
WITH queued AS (
  DELETE FROM search_queue
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM search_queue LIMIT :limit FOR UPDATE SKIP LOCKED)) RETURNING ticket_id
), unindexed AS (
  SELECT t.id, t.digest, t.external_id, left(t.text, 20000) AS content FROM tickets t
  WHERE t.id IN (SELECT ticket_id FROM queued) AND t.text IS NOT NULL AND t.source <> :predict
    AND NOT EXISTS (SELECT FROM ticket_lexemes l WHERE (l.ticket_id, l.digest) = (t.id, t.digest))
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR SHARE OF t
), indexed AS (
  INSERT INTO ticket_lexemes (ticket_id, digest, lexemes)
  SELECT id, digest, strip(
    to_tsvector('portuguese', content)
    || to_tsvector('portuguese', translate(content, {_ACCENTS}))
    || to_tsvector('english', content) || to_tsvector('simple', external_id)
  ) FROM unindexed ORDER BY id
  ON CONFLICT (ticket_id) DO UPDATE SET digest = excluded.digest, lexemes = excluded.lexemes
)
SELECT count(*) FROM queued
""")  # noqa: S608 - a constant


def index_queued_tickets(
    database: Database, *, budget_s: float = 2.0, clock: Callable[[], float] = time.monotonic
) -> int:
    """Index queued tickets for up to `budget_s` seconds; returns their number."""
    deadline, indexed, page = clock() + budget_s, 0, PAGE
    while page == PAGE and clock() < deadline:
        page = int(database.scalar_one(_INDEX, limit=PAGE, predict=PREDICT_SOURCE))
        indexed += page
    return indexed


# One word with a digit looks like an id. A language then counts only if it keeps all parts: "a" and "t" are stop
# words, so that "A-72" would match each text and id with "-72".
_PARSED: Final = """CASE
  WHEN :search ~ '^\\S*[0-9]\\S*$'
    AND numnode(plainto_tsquery({language})) < numnode(plainto_tsquery('simple', :search)) THEN ''
  ELSE plainto_tsquery({language})
END"""
_UNACCENTED: Final = f"translate(CAST(:search AS text), {_ACCENTS})"
_MATCHES: Final = f"""lexemes @@ (
  {_PARSED.format(language="'portuguese', :search")}
  || {_PARSED.format(language=f"'portuguese', {_UNACCENTED}")}
  || {_PARSED.format(language="'english', :search")} || plainto_tsquery('simple', :search)
)"""
_COUNT_IN_SAMPLE: Final = text(f"""
SELECT count(*) FROM ticket_lexemes TABLESAMPLE SYSTEM (
  least(100, 100.0 * :pages * current_setting('block_size')::int / greatest(pg_relation_size('ticket_lexemes'), 1))
) REPEATABLE (0) WHERE {_MATCHES}
""")  # noqa: S608 - constants
_FIND: Final = text(f"SELECT ticket_id FROM ticket_lexemes WHERE {_MATCHES} LIMIT :limit")  # noqa: S608 - constants
# Reads one index entry per source.
_FIND_ID: Final = text(f"""
SELECT id FROM tickets
WHERE source = ANY (ARRAY({SOURCES})) AND external_id IN (:search, upper(:search), lower(:search))
""")  # noqa: S608 - a constant
# An index on parts of ids would cost every insert.
_FIND_ID_PART: Final = text("""
SELECT id FROM (SELECT id, external_id FROM tickets ORDER BY received_at DESC, id DESC LIMIT :newest) AS newest
WHERE strpos(lower(external_id), lower(:search)) > 0 LIMIT :limit
""")
# OFFSET 0: the planner must not turn it into a join that reads all matches.
_COMMON: Final = text(f"""
EXISTS (SELECT FROM ticket_lexemes l WHERE l.ticket_id = results.ticket_id AND l.{_MATCHES} OFFSET 0)
""")


# The planner does not know the length of a subquery's array, so it reads these tickets by their key. With a known
# array, it read the newest tickets until it had a page of these: 12 s in ten million tickets, if they are old.
_RARE: Final = "ticket_id = ANY (ARRAY(SELECT unnest(CAST(:ticket_ids AS bigint[]))))"


def tickets_with_id(connection: Connection, search: str) -> list[int]:
    """The tickets of all sources whose id is this word, in upper or lower case or as it is."""
    return list(connection.execute(_FIND_ID, {"search": search}).scalars())


def search_condition(connection: Connection, search: str) -> tuple[TextClause, bool]:
    """A condition on the view `results`: tickets with all of these words in the text or as the id. If there are none,
    those of the newest 20,000 with this part of an id.

    With few matches, their ids are read first, from the index of words. With many matches, the newest tickets are
    tested one by one until the page is full. Each method is slow in the case in which the other is fast. A sample
    tells them apart: in ten million tickets, reading a word of all texts from the index takes 11 s.

    Returns:
        The condition, and whether there are few matches.
    """
    sampled = connection.execute(_COUNT_IN_SAMPLE, {"search": search, "pages": _SAMPLED_PAGES}).scalar_one()
    if sampled >= _COMMON_IN_SAMPLE:
        return _COMMON.bindparams(search=search), False
    with _index_of_words(connection):
        ticket_ids = list(connection.execute(_FIND, {"search": search, "limit": _MAX_RARE + 1}).scalars())
    if not ticket_ids:  # takes longer than all the rest: 15 ms in a million tickets
        ticket_ids += connection.execute(
            _FIND_ID_PART, {"search": search, "limit": _MAX_RARE, "newest": _NEWEST}
        ).scalars()
    if len(ticket_ids) <= _MAX_RARE:
        return text(_RARE).bindparams(ticket_ids=ticket_ids), True
    return _COMMON.bindparams(search=search), False


@contextmanager
def _index_of_words(connection: Connection) -> Iterator[None]:
    """Within the block, a search for words reads their index.

    The planner overestimates a rare word, because its statistics list only the frequent ones: it would read the
    whole table until it has as many matches as the limit. That took 11 to 25 s in ten million tickets.
    """
    names = "enable_seqscan", "enable_indexscan"
    for name in names:
        connection.exec_driver_sql(f"SET {name} = off")
    try:
        yield
    finally:
        for name in names:
            connection.exec_driver_sql(f"RESET {name}")
