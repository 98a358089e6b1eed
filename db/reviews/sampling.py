"""Selects texts for review: the least confident without a review, and a random sample of all texts.

Every text of a version has a random rank between 0 and 1, made of a hash. The lowest ranks are sampled first, among
sure and unsure texts, reviewed or not (a reviewed text is not shown again, but its review counts). Each sampled text
stores the threshold of its round, the next rank that was not sampled; `triagem.db.reviews.accuracy` derives
probabilities from it.

Corrections in the CRM and imported labels (`triagem.db.reviews.records`) do not keep a text from being selected:
otherwise the sample would lack the texts whose errors people notice.

Reviewers do not learn why a text was selected: `ReviewTask` contains nothing that the model predicted.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, text

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database
from triagem.db.reviews.queue import MATCHING, UNREVIEWED, QueueFilters, TicketText

LEASE: Final = timedelta(minutes=15)
ALL: Final = QueueFilters()
RANDOM_SHARE: Final = 0.2
# A round reads all recent tickets, so it samples some texts in advance. Each text stores its own threshold, so texts
# that are never reviewed do not change the estimate.
_SAMPLE_AHEAD: Final = 10


@dataclass(frozen=True, slots=True)
class ReviewTask(TicketText):
    """A text assigned to a reviewer until `leased_until`."""

    leased_until: datetime


# Tickets are locked, in the order of the window's statement, because rows that a concurrent `forget` has just deleted
# must not be inserted again. Rows are inserted in the order of their key; otherwise two selections could deadlock.
_LOCKED: Final = """locked AS (
  SELECT t.* FROM tickets t JOIN selected USING (id)
  WHERE t.digest = selected.digest AND t.state = 'classified'
  ORDER BY t.source COLLATE "C", t.external_id COLLATE "C" FOR SHARE OF t
)"""
_TASK: Final = "t.id, t.digest, t.source, t.external_id, t.text, t.revised_at, t.received_at"
_LEASE_SELECTED: Final = f"""{_LOCKED}, leased AS (
  INSERT INTO review_draws AS d (ticket_id, digest, model_version, model_label, stratum, leased_by, leased_until)
  SELECT id, digest, model_version, label, 'unsure', :reviewer, now() + :lease FROM locked ORDER BY id
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE SET leased_by = :reviewer, leased_until = now() + :lease
  WHERE d.leased_until IS NULL OR d.leased_until <= now()
  RETURNING ticket_id, leased_until
)
SELECT {_TASK}, leased.leased_until
FROM selected LEFT JOIN (locked t JOIN leased ON leased.ticket_id = t.id) ON t.id = selected.id"""  # noqa: S608
_FREE: Final = """t.id <> ALL(:exclude)
    AND NOT EXISTS (SELECT FROM review_draws o WHERE o.ticket_id = t.id AND o.leased_until > now())"""
_LEASE_UNSURE: Final = text(f"""
WITH selected AS (
  SELECT t.id, t.digest FROM tickets t
  WHERE t.band <> 'automate' AND t.forgotten_at IS NULL AND t.text IS NOT NULL AND t.source <> :predict
    AND t.received_at >= :since AND {MATCHING}
    AND {UNREVIEWED} AND {_FREE}
  ORDER BY t.confidence, t.id LIMIT :limit
), {_LEASE_SELECTED}
ORDER BY t.confidence, t.id
""")  # noqa: S608 - built from a constant, as below
_LEASE_SAMPLED: Final = text(f"""
WITH selected AS (
  SELECT d.ticket_id, d.digest, d.model_version
  FROM review_draws d JOIN tickets t ON (t.id, t.digest, t.model_version) = (d.ticket_id, d.digest, d.model_version)
  WHERE d.stratum = 'random' AND d.model_version = :version AND (d.leased_until IS NULL OR d.leased_until <= now())
    AND t.forgotten_at IS NULL AND t.text IS NOT NULL AND t.source <> :predict AND t.received_at >= :since
    AND {UNREVIEWED} AND {_FREE}
  ORDER BY d.inclusion, d.ticket_id LIMIT :limit FOR UPDATE OF d SKIP LOCKED
), leased AS (
  UPDATE review_draws d SET leased_by = :reviewer, leased_until = now() + :lease FROM selected s
  WHERE (d.ticket_id, d.digest, d.model_version) = (s.ticket_id, s.digest, s.model_version)
  RETURNING d.ticket_id, d.leased_until
)
SELECT {_TASK}, leased.leased_until FROM tickets t JOIN leased ON leased.ticket_id = t.id
""")  # noqa: S608
# Texts that exactly two people have reviewed and labelled differently. A third review removes a text from this list.
_LEASE_DISPUTED: Final = text(f"""
WITH latest_reviews AS (
  SELECT DISTINCT ON (ticket_id, digest, reviewer) ticket_id, digest, reviewer, label FROM reviews
  WHERE reviewed_at >= :since ORDER BY ticket_id, digest, reviewer, id DESC
), selected AS (
  SELECT t.id, t.digest FROM latest_reviews l JOIN tickets t ON (t.id, t.digest) = (l.ticket_id, l.digest)
  WHERE t.state = 'classified' AND t.text IS NOT NULL AND t.source <> :predict AND {MATCHING}
    AND {_FREE}
  GROUP BY t.id HAVING count(*) = 2 AND min(coalesce(l.label, '')) <> max(coalesce(l.label, ''))
    AND NOT bool_or(reviewer = :reviewer) ORDER BY t.id LIMIT :limit
), {_LEASE_SELECTED}
""")  # noqa: S608
# The rank is Postgres' own hash (used for hash partitions, so it stays stable), seeded with the version's name: it is
# unrelated to the content of a text, and differs between versions. SHA-256 took 15 times as long.
_SAMPLE: Final = text(f"""
WITH pool AS (
  SELECT t.id, t.digest, hashint8extended(t.id, :seed) / 18446744073709551616::float8 + 0.5 AS rank FROM tickets t
  WHERE t.forgotten_at IS NULL AND t.text IS NOT NULL AND t.source <> :predict AND t.received_at >= :since
    AND t.model_version = :version AND NOT EXISTS (
      SELECT FROM review_draws d
      WHERE (d.ticket_id, d.digest, d.model_version, d.stratum) = (t.id, t.digest, t.model_version, 'random')
    )
  ORDER BY rank LIMIT :sample_ahead + 1
), selected AS (
  SELECT id, digest, coalesce(lead(rank) OVER (ORDER BY rank), 1) AS threshold FROM pool
  ORDER BY rank LIMIT :sample_ahead
), {_LOCKED}
INSERT INTO review_draws AS d (ticket_id, digest, model_version, model_label, stratum, inclusion, since)
SELECT id, locked.digest, model_version, label, 'random', threshold, :since
FROM locked JOIN selected USING (id) ORDER BY id
ON CONFLICT (ticket_id, digest, model_version) DO UPDATE
SET stratum = 'random', inclusion = excluded.inclusion, since = excluded.since, drawn_at = now()
WHERE d.stratum <> 'random'
""")  # noqa: S608


def draw_tasks(
    database: Database,
    reviewer: str,
    count: int,
    *,
    version: str,
    since: datetime,
    random_share: float = RANDOM_SHARE,
    filters: QueueFilters = ALL,
    exclude: Collection[int] = (),
    lease: timedelta = LEASE,
    rng: random.Random | None = None,
) -> list[ReviewTask]:
    """Assign texts received from `since` on, each to one reviewer until the lease ends, in random order.

    About `random_share` of them are sampled among the texts that `version` classified; the others are the least
    confident ones. If one kind runs out, the other replaces it; a result of fewer than `count` texts means that there
    are no more. With `filters` no text is sampled at random: a subset would not represent all texts. The reviewer has
    skipped the tickets in `exclude`.
    """
    rng = rng or random.Random()
    random_share = random_share if filters == ALL else 0.0
    seed = int.from_bytes(sha256(version.encode()).digest()[:8], signed=True)
    values = {
        "reviewer": reviewer, "lease": lease, "version": version, "since": since, "seed": seed,
        "sample_ahead": _SAMPLE_AHEAD, "predict": PREDICT_SOURCE, "exclude": list(exclude), **filters.values(),
    }  # fmt: skip
    random_count = sum(rng.random() < random_share for _ in range(count))
    with database.autocommit() as connection:
        sampled = _lease_sampled(connection, values, random_count)
        unsure = _lease(connection, _LEASE_UNSURE, values, count - len(sampled)) if random_share < 1 else []
        if random_share > 0:
            sampled += _lease_sampled(connection, values, count - len(sampled) - len(unsure))
    queues = [sampled] * len(sampled) + [unsure] * len(unsure)
    rng.shuffle(queues)
    return [queue.pop(0) for queue in queues]


def lease_disputed_task(
    database: Database,
    reviewer: str,
    *,
    since: datetime,
    filters: QueueFilters = ALL,
    exclude: Collection[int] = (),
) -> ReviewTask | None:
    """Assign a text that two other reviewers have labelled differently since a time; None if there is none."""
    with database.autocommit() as connection:
        values = {
            "reviewer": reviewer, "lease": LEASE, "since": since, "predict": PREDICT_SOURCE,
            "exclude": list(exclude), **filters.values(),
        }  # fmt: skip
        return next(iter(_lease(connection, _LEASE_DISPUTED, values, 1)), None)


def _lease_sampled(connection: Connection, values: dict[str, Any], count: int) -> list[ReviewTask]:
    tasks = _lease(connection, _LEASE_SAMPLED, values, count)
    # Texts sampled in advance may all be reviewed already, or leased by others.
    while len(tasks) < count:
        sampled = connection.execute(_SAMPLE, values).rowcount
        more = _lease(connection, _LEASE_SAMPLED, values, count - len(tasks))
        if not sampled and not more:
            break
        tasks += more
    return tasks


def _lease(connection: Connection, statement: Any, values: dict[str, Any], count: int) -> list[ReviewTask]:
    tasks = list[ReviewTask]()
    while len(tasks) < count:
        rows = connection.execute(statement, {**values, "limit": count - len(tasks)}).all()
        if not rows:
            break
        tasks += [ReviewTask(*row) for row in rows if row.id is not None]  # None: another process leased it first
    return tasks


_ASSIGNED: Final = text(f"""
SELECT {_TASK}, d.leased_until FROM review_draws d JOIN tickets t ON (t.id, t.digest) = (d.ticket_id, d.digest)
WHERE d.leased_by = :reviewer AND d.leased_until > now() AND t.text IS NOT NULL AND t.id <> ALL(:exclude)
  AND {MATCHING}
  AND NOT EXISTS (
    SELECT FROM reviews r WHERE (r.ticket_id, r.digest, r.reviewer) = (t.id, t.digest, :reviewer)
  )
ORDER BY d.leased_until DESC, t.id LIMIT 1
""")  # noqa: S608


def assigned_task(
    database: Database, reviewer: str, *, filters: QueueFilters = ALL, exclude: Collection[int] = ()
) -> ReviewTask | None:
    """The text that was assigned last to this reviewer and is not reviewed yet, ignoring the tickets in `exclude`."""
    return database.first(ReviewTask, _ASSIGNED, reviewer=reviewer, exclude=list(exclude), **filters.values())


def release_task(database: Database, reviewer: str, ticket_id: int) -> None:
    """End the reviewer's lease of a text that they skip, so that others get it."""
    database.execute(
        "UPDATE review_draws SET leased_until = now()"
        " WHERE ticket_id = :ticket_id AND leased_by = :reviewer AND leased_until > now()",
        ticket_id=ticket_id,
        reviewer=reviewer,
    )
