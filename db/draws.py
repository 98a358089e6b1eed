"""Which texts people are asked about: the least sure that nobody has judged, and some of all texts, drawn by lot.

Every text of a version has a lot, a number between 0 and 1 made of a hash, and the lowest lots are drawn first, of
sure texts and unsure ones, judged or not (what has a verdict already is not asked again, it only counts). With a
drawing its reach is stored, the next lot that was not drawn: `triagem.db.estimate` makes probabilities of it.

Nobody is told why a text is asked about: `Drawn` holds nothing that the model said.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, text

from triagem.contracts.ticket import PREDICT
from triagem.db.connect import Database

LEASE: Final = timedelta(minutes=15)
RANDOM_SHARE: Final = 0.2
# By lot a few are drawn ahead, because that reads all recent tickets; each keeps a reach of its own, so that those
# which are never asked change nothing.
_AHEAD: Final = 10


@dataclass(frozen=True, slots=True)
class Drawn:
    """A text that is ours to judge until `leased_until`."""

    ticket_id: int
    digest: bytes
    source: str
    external_id: str
    text: str
    revised_at: datetime
    received_at: datetime
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A text that somebody was handed and has not judged yet."""

    source: str
    external_id: str
    reviewer: str
    leased_until: datetime


_HERE: Final = f"t.forgotten_at IS NULL AND t.text IS NOT NULL AND t.source <> '{PREDICT}'"
_FREE: Final = f"""{_HERE} AND t.received_at >= :since
    AND NOT EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest))
    AND NOT EXISTS (SELECT FROM review_draws o WHERE o.ticket_id = t.id AND o.leased_until > now())"""  # noqa: S608
_HELD: Final = "SET leased_by = :reviewer, leased_until = now() + :lease"
_LAPSED: Final = "(d.leased_until IS NULL OR d.leased_until <= now())"
_SHOWN: Final = "t.id, t.digest, t.source, t.external_id, t.text, t.revised_at, t.received_at, leased.leased_until"

# Tickets are locked, in the order of the window's statement, against `forget`: what it has deleted must not be
# inserted a moment later.
_LOCKED: Final = """locked AS (
  SELECT t.* FROM tickets t JOIN chosen USING (id)
  WHERE t.digest = chosen.digest AND t.forgotten_at IS NULL
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR SHARE OF t
)"""
# Rows are inserted in the order of their key, or two drawings could wait for each other.
_UNSURE: Final = text(f"""
WITH chosen AS (
  SELECT t.id, t.digest FROM tickets t WHERE t.band <> 'automate' AND {_FREE} ORDER BY t.confidence, t.id LIMIT :most
), {_LOCKED}, leased AS (
  INSERT INTO review_draws AS d (ticket_id, digest, model_version, model_label, stratum, leased_by, leased_until)
  SELECT id, digest, model_version, label, 'unsure', :reviewer, now() + :lease FROM locked ORDER BY id
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE {_HELD} WHERE {_LAPSED}
  RETURNING ticket_id, leased_until
)
SELECT {_SHOWN} FROM chosen LEFT JOIN (locked t JOIN leased ON leased.ticket_id = t.id) ON t.id = chosen.id
ORDER BY t.confidence, t.id
""")  # noqa: S608 - built from the constants above; values travel as parameters
_BY_LOT: Final = text(f"""
WITH chosen AS (
  SELECT d.ticket_id, d.digest, d.model_version
  FROM review_draws d JOIN tickets t ON (t.id, t.digest, t.model_version) = (d.ticket_id, d.digest, d.model_version)
  WHERE d.stratum = 'random' AND d.model_version = :version AND {_LAPSED} AND {_FREE}
  ORDER BY d.inclusion, d.ticket_id LIMIT :most FOR UPDATE OF d SKIP LOCKED
), leased AS (
  UPDATE review_draws d {_HELD} FROM chosen c
  WHERE (d.ticket_id, d.digest, d.model_version) = (c.ticket_id, c.digest, c.model_version)
  RETURNING d.ticket_id, d.leased_until
)
SELECT {_SHOWN} FROM tickets t JOIN leased ON leased.ticket_id = t.id
""")  # noqa: S608
# Whose two verdicts are two people's and differ; nobody else's. Once a third has looked there are three.
_DISPUTED: Final = text(f"""
WITH said AS (
  SELECT DISTINCT ON (ticket_id, digest, reviewer) ticket_id, digest, reviewer, label FROM reviews
  WHERE reviewed_at >= :since ORDER BY ticket_id, digest, reviewer, id DESC
), chosen AS (
  SELECT t.id, t.digest FROM said JOIN tickets t ON (t.id, t.digest) = (said.ticket_id, said.digest)
  WHERE {_HERE} AND NOT EXISTS (SELECT FROM review_draws o WHERE o.ticket_id = t.id AND o.leased_until > now())
  GROUP BY t.id HAVING count(*) = 2 AND min(coalesce(said.label, '')) <> max(coalesce(said.label, ''))
    AND NOT bool_or(reviewer = :reviewer) ORDER BY t.id LIMIT :most
), {_LOCKED}, leased AS (
  INSERT INTO review_draws AS d (ticket_id, digest, model_version, model_label, stratum, leased_by, leased_until)
  SELECT id, digest, model_version, label, 'unsure', :reviewer, now() + :lease FROM locked ORDER BY id
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE {_HELD} WHERE {_LAPSED}
  RETURNING ticket_id, leased_until
)
SELECT {_SHOWN} FROM chosen LEFT JOIN (locked t JOIN leased ON leased.ticket_id = t.id) ON t.id = chosen.id
""")  # noqa: S608
# Postgres' own hash (of hash partitions, so it stays as it is), under a seed made of the version's name: nothing that
# is known of a text tells its lot, and another version has other lots. SHA-256 took 15 times as long.
_LOT: Final = "hashint8extended(t.id, :seed) / 18446744073709551616::float8 + 0.5"
_DRAW: Final = text(f"""
WITH pool AS (
  SELECT t.id, t.digest, {_LOT} AS lot FROM tickets t
  WHERE {_HERE} AND t.received_at >= :since AND t.model_version = :version
    AND NOT EXISTS (
      SELECT FROM review_draws d
      WHERE (d.ticket_id, d.digest, d.model_version, d.stratum) = (t.id, t.digest, t.model_version, 'random')
    )
  ORDER BY lot LIMIT {_AHEAD} + 1
), chosen AS (
  SELECT id, digest, coalesce(lead(lot) OVER (ORDER BY lot), 1) AS reach FROM pool ORDER BY lot LIMIT {_AHEAD}
), {_LOCKED}
INSERT INTO review_draws AS d (ticket_id, digest, model_version, model_label, stratum, inclusion, since)
SELECT id, locked.digest, model_version, label, 'random', reach, :since FROM locked JOIN chosen USING (id) ORDER BY id
ON CONFLICT (ticket_id, digest, model_version) DO UPDATE
SET stratum = 'random', inclusion = excluded.inclusion, since = excluded.since, drawn_at = now()
WHERE d.stratum <> 'random'
""")  # noqa: S608


def draw(
    database: Database,
    reviewer: str,
    most: int,
    *,
    version: str,
    since: datetime,
    random_share: float = RANDOM_SHARE,
    lease: timedelta = LEASE,
    chance: random.Random | None = None,
) -> list[Drawn]:
    """Hand out texts received from `since` on, each to one person until the lease ends; the order says nothing.

    About `random_share` of them are drawn by lot among the texts that `version` classified, the others are the least
    sure. Where one kind is used up the other takes its place; fewer than `most` means that there are no more.
    """
    chance = chance or random.Random()
    seed = int.from_bytes(sha256(version.encode()).digest()[:8], signed=True)
    values = {"reviewer": reviewer, "lease": lease, "version": version, "since": since, "seed": seed}
    wanted = sum(chance.random() < random_share for _ in range(most))
    with database.autocommit() as connection:
        by_lot = _drawn_by_lot(connection, values, wanted)
        unsure = _leased(connection, _UNSURE, values, most - len(by_lot)) if random_share < 1 else []
        if random_share > 0:
            by_lot += _drawn_by_lot(connection, values, most - len(by_lot) - len(unsure))
    turns = [by_lot] * len(by_lot) + [unsure] * len(unsure)
    chance.shuffle(turns)
    return [turn.pop(0) for turn in turns]


def third_look(database: Database, reviewer: str, *, since: datetime, lease: timedelta = LEASE) -> Drawn | None:
    """Hand out a text of which two others have said different things since a time."""
    with database.autocommit() as connection:
        values = {"reviewer": reviewer, "lease": lease, "since": since}
        return next(iter(_leased(connection, _DISPUTED, values, 1)), None)


def _drawn_by_lot(connection: Connection, values: dict[str, Any], most: int) -> list[Drawn]:
    drawn = _leased(connection, _BY_LOT, values, most)
    # Those drawn ahead may all have a verdict already, or be another's by now.
    while len(drawn) < most:
        ahead = connection.execute(_DRAW, values).rowcount
        more = _leased(connection, _BY_LOT, values, most - len(drawn))
        if not ahead and not more:
            break
        drawn += more
    return drawn


def _leased(connection: Connection, statement: Any, values: dict[str, Any], most: int) -> list[Drawn]:
    drawn = list[Drawn]()
    while len(drawn) < most:
        rows = connection.execute(statement, {**values, "most": most - len(drawn)}).all()
        if not rows:
            break
        drawn += [Drawn(*row) for row in rows if row.id is not None]  # None: another was quicker with this one
    return drawn


_GIVE_BACK: Final = text("""
UPDATE review_draws SET leased_by = NULL, leased_until = NULL
WHERE leased_by = :reviewer AND ticket_id = ANY(:ids)
""")
_HOLDING: Final = text("""
SELECT t.source, t.external_id, d.leased_by, d.leased_until
FROM review_draws d JOIN tickets t ON (t.id, t.digest) = (d.ticket_id, d.digest)
WHERE d.leased_until > now() AND NOT EXISTS (SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest))
ORDER BY d.leased_until, t.id
""")


def give_back(database: Database, reviewer: str, drawn: Sequence[Drawn]) -> None:
    """End leases early: somebody else may be asked at once."""
    with database.autocommit() as connection:
        connection.execute(_GIVE_BACK, {"reviewer": reviewer, "ids": [one.ticket_id for one in drawn]})


def holding(database: Database) -> list[Held]:
    """What people have in hand now."""
    with database.autocommit() as connection:
        return [Held(*row) for row in connection.execute(_HOLDING)]
