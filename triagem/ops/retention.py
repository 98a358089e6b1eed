"""Retention: after how many days data is deleted, by `triagem db retain` and the daily task."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from triagem.db import Database
from triagem.db.audit import KEPT_DAYS, SCHEDULE, Actor, record
from triagem.db.retention import OLD, delete_old_changes, delete_old_rows, purge_texts
from triagem.settings import Settings

MAX_DAYS: Final = 36_500
_TRAINING_JOBS_DAYS: Final = 365
_Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class RetentionSettings(Settings, used_by="ops, `triagem db retain`", env_prefix="TRIAGEM_RETAIN_"):
    """Days for which data is kept. Current results, predictions and reviews are always kept."""

    texts_days: _Days | None = Field(
        default=None, description="days to keep texts, their metadata and dead letters; default: for ever"
    )
    run_changes_days: _Days = Field(
        default=90, description="days to keep what a run changed, for `triagem reclassify diff`"
    )
    deliveries_days: _Days = Field(
        default=90, description="days to keep finished alert messages; the deliveries of results to CRMs stay"
    )
    alerts_days: _Days = Field(default=180, description="days to keep alerts, also those that no rule matched")
    samples_days: _Days = Field(
        default=180, description="days to keep drift samples of a version that gets no new ones"
    )
    audit_days: int = Field(
        default=730, ge=KEPT_DAYS, le=MAX_DAYS, description=f"days to keep the audit trail, at least {KEPT_DAYS}"
    )

    def days(self) -> dict[str, int]:
        """Days by kind of data, without the kinds that are kept for ever."""
        texts = {} if self.texts_days is None else {"texts": self.texts_days, "dead_letters": self.texts_days}
        return {
            **texts,
            "run_changes": self.run_changes_days,
            "deliveries": self.deliveries_days,
            "alerts": self.alerts_days,
            "samples": self.samples_days,
            "training_jobs": _TRAINING_JOBS_DAYS,
            "audit": self.audit_days,
        }


_DELETE: Final[dict[str, Callable[..., Iterator[int]]]] = {
    "texts": purge_texts,
    "run_changes": delete_old_changes,
    **{table: partial(delete_old_rows, table=table) for table in OLD},
}


def delete_old_data(
    database: Database, days: Mapping[str, int], *, now: datetime, actor: Actor = SCHEDULE, dry_run: bool = False
) -> Iterator[tuple[str, int]]:
    """Delete data that is older than its number of days, page by page; a dry run only counts.

    The audit trail gets an entry of `actor` for each kind of which rows were deleted, also after an interruption.

    Yields:
        A kind of data, and how many rows of it were deleted. An interrupted deletion keeps its finished pages.
    """
    for kind, limit in days.items():
        total = 0
        try:
            for deleted in _DELETE[kind](database, before=now - timedelta(days=limit), dry_run=dry_run):
                total += deleted
                yield kind, deleted
        finally:
            if total and not dry_run:
                record(database, actor, "data.delete", f"{kind} > {limit} d", f"{total:,}")
