"""Runs over stored tickets: begin one, see how far it is, pause it, end it. At most one is active."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.errors import InvalidInput
from triagem.db.connect import Database, database_errors

CLASSIFY: Final = "classify"
APPLY: Final = "apply"
RUN_ENDED: Final = "run-ended"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    Args:
        version: whose predictions it is about; `epoch`: what its results rank by (INV-14), the current one.
        shadow: its results go into the history only.
        force: what the version has said already is computed again.
        tell_flips: CRMs that want results back are told those whose label the run changes.
        filters: which tickets; see `triagem.db.run_pages.CONDITIONS`.
        most: at most so many tickets.
        until: the hour at which it pauses; `pause_at`: when that is next.
    """

    version: str
    epoch: int
    kind: str = CLASSIFY
    shadow: bool = False
    force: bool = False
    tell_flips: bool = False
    filters: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None
    until: str | None = None
    pause_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `reclassify_runs`; see there."""

    id: int
    kind: str
    state: str
    why: str
    version: str
    epoch: int
    shadow: bool
    force: bool
    tell_flips: bool
    filters: Mapping[str, Any]
    most: int | None
    until: str | None
    pause_at: datetime | None
    first_id: int
    last_id: int
    cursor: int
    put: int
    done: int
    unchanged: int
    changed: int
    gone: int
    failed: int
    flips: int
    rate: float
    started_at: datetime
    finished_at: datetime | None

    @property
    def active(self) -> bool:
        """Running or paused."""
        return self.state in {"running", "paused"}

    @property
    def settled(self) -> int:
        """Tickets of which something is said."""
        return self.done + self.unchanged + self.changed + self.gone + self.failed

    @property
    def expected(self) -> int:
        """About how many tickets it will be in all: exact once all are put."""
        seen, ids = self.cursor - self.first_id + 1, self.last_id - self.first_id + 1
        whole = self.put if seen >= ids or seen <= 0 else round(self.put * ids / seen)
        return whole if self.most is None else min(whole, self.most)

    @property
    def remaining_s(self) -> float | None:
        """How long it will take yet, at the measured rate; None where there is none."""
        if not self.active or not self.rate:
            return None
        return max(0, self.expected - self.settled) / self.rate


COLUMNS: Final = ", ".join(one.name for one in fields(Run))
_SETTLED: Final = "(done + unchanged + changed + gone + failed)"
_START: Final = text(f"""
INSERT INTO reclassify_runs (kind, state, version, epoch, shadow, force, tell_flips, filters, most, until, pause_at,
  first_id, last_id, cursor, measured_at)
SELECT :kind, 'running', :version, :epoch, :shadow, :force, :tell_flips, CAST(:filters AS jsonb), :most, :until,
  :pause_at, coalesce(min(id), 1), coalesce(max(id), 0), coalesce(min(id), 1) - 1, now()
FROM tickets
ON CONFLICT DO NOTHING RETURNING {COLUMNS}
""")  # noqa: S608 - built from constants; values travel as parameters
_BOUNDS: Final = text("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM tickets")
_FIND: Final = text(f"""
SELECT {COLUMNS} FROM reclassify_runs WHERE CAST(:id AS bigint) IS NULL OR id = :id ORDER BY id DESC LIMIT 1
""")  # noqa: S608
_ACTIVE: Final = text(f"SELECT {COLUMNS} FROM reclassify_runs WHERE state IN ('running', 'paused')")  # noqa: S608
_MOVE: Final = """
UPDATE reclassify_runs SET state = :state, why = :why, measured_at = now(), measured = {settled}{more}
WHERE id = :id AND state {was}
"""
_PAUSE: Final = text(_MOVE.format(settled=_SETTLED, more="", was="= 'running'"))
_RESUME: Final = text(_MOVE.format(settled=_SETTLED, more=", pause_at = :pause_at", was="= 'paused'"))
_CANCEL: Final = text(_MOVE.format(settled=_SETTLED, more=", finished_at = now()", was="IN ('running', 'paused')"))
_NOTE: Final = text("UPDATE reclassify_runs SET why = :why WHERE id = :id AND state = 'running' AND why <> :why")
# By the clock, over what all workers have settled; no sooner than after a second.
_MEASURE: Final = text(f"""
UPDATE reclassify_runs SET measured = {_SETTLED}, measured_at = now(),
  rate = CASE WHEN rate = 0 THEN 1 ELSE 0.5 END
    * ({_SETTLED} - measured) / extract(epoch FROM now() - measured_at) + 0.5 * rate
WHERE id = :id AND state = 'running' AND measured_at < now() - interval '1 second'
""")  # noqa: S608
# One summary a run (INV-24), in the statement that ends it.
_END: Final = text(f"""
WITH ended AS (
  UPDATE reclassify_runs SET state = 'done', finished_at = now()
  WHERE id = :id AND state = 'running' AND cursor >= last_id AND put <= {_SETTLED} RETURNING *
)
INSERT INTO alerts (kind, key, detail)
SELECT '{RUN_ENDED}', 'run ' || id, jsonb_build_object(
  'run', id, 'kind', kind, 'version', version, 'shadow', shadow, 'done', done, 'unchanged', unchanged,
  'changed', changed, 'gone', gone, 'failed', failed, 'flips', flips,
  'says', format('%s %s: %s of %s tickets changed their label', kind, version, flips, put)
) FROM ended WHERE put > 0 ON CONFLICT DO NOTHING
""")  # noqa: S608


def start(database: Database, plan: Plan) -> Run:
    """Begin a run over all tickets stored until now. Raises InvalidInput while another is active."""
    values = {**_values(plan), "filters": json.dumps(dict(plan.filters))}
    with database.autocommit() as connection:
        row = connection.execute(_START, values).mappings().one_or_none()
    if row is None:
        raise InvalidInput(
            "a run is active: `triagem reclassify status` shows it, `triagem reclassify cancel` ends it"
        )
    return Run(**row)


def imagine(database: Database, plan: Plan) -> Run:
    """The run that `start` would begin, stored nowhere."""
    with database.autocommit() as connection:
        first, last = connection.execute(_BOUNDS).one()
    counts: dict[str, Any] = dict.fromkeys(("put", "done", "unchanged", "changed", "gone", "failed", "flips"), 0)
    return Run(
        id=1, state="running", why="", first_id=first, last_id=last, cursor=first - 1, rate=0.0,
        started_at=datetime.now(UTC), finished_at=None, **counts, **_values(plan),
    )  # fmt: skip


def find(database: Database, run_id: int | None = None) -> Run | None:
    """A run, by default the newest."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, {"id": run_id}).mappings().one_or_none()
    return None if row is None else Run(**row)


def active(database: Database) -> Run | None:
    """The run that is running or paused."""
    with database.autocommit() as connection:
        row = connection.execute(_ACTIVE).mappings().one_or_none()
    return None if row is None else Run(**row)


def pause(database: Database, run_id: int, why: str = "") -> bool:
    """Put no more of its tickets on the lane; False if it did not run."""
    return _moved(database, _PAUSE, {"id": run_id, "state": "paused", "why": why})


def resume(database: Database, run_id: int, *, pause_at: datetime | None = None) -> bool:
    """Go on from the cursor, until that time; False if it was not paused."""
    return _moved(database, _RESUME, {"id": run_id, "state": "running", "why": "", "pause_at": pause_at})


def cancel(database: Database, run_id: int, why: str = "") -> bool:
    """End it; what of it is on the lane is settled without being looked at. False if it had ended."""
    return _moved(database, _CANCEL, {"id": run_id, "state": "cancelled", "why": why})


def note(database: Database, run_id: int, why: str) -> None:
    """Why it runs and gets no further; empty when it does."""
    _moved(database, _NOTE, {"id": run_id, "why": why})


def measure(database: Database, run_id: int) -> None:
    """Note at what rate its tickets are settled."""
    _moved(database, _MEASURE, {"id": run_id})


def end(database: Database, run_id: int) -> None:
    """It is done if all was put, and of all that was put something is said: by counting, not by time."""
    _moved(database, _END, {"id": run_id})


@contextmanager
def alone(database: Database) -> Iterator[bool]:
    """Whether nobody else is at work on runs: a lock that ends with the process, and for which nobody waits.

    Not the run's row: workers count in it.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        yield connection.execute(
            text("SELECT pg_try_advisory_xact_lock(hashtext('triagem reclassify'))")
        ).scalar_one()


def _moved(database: Database, statement: Any, values: Mapping[str, Any]) -> bool:
    with database.autocommit() as connection:
        return connection.execute(statement, values).rowcount > 0


def _values(plan: Plan) -> dict[str, Any]:
    return {one.name: getattr(plan, one.name) for one in fields(plan)}
