"""By what stored results are judged anew: for each version, what a worker that starts now would go by."""

from contextlib import suppress
from dataclasses import dataclass

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.prediction import Thresholds
from triagem.db import Database
from triagem.db.known import recent_confidences
from triagem.registry import Registry
from triagem.worker.judge import REMEMBERED, Budget, floor
from triagem.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Bar:
    """A version's thresholds with what the environment overrides, and the cutoff of the review budget: 0 where fewer
    than 50 of the newest 1,000 tickets are its own, infinite where the budget is everything."""

    version: str
    thresholds: Thresholds
    cutoff: float

    @property
    def floor(self) -> float:
        """The least confidence that is automated."""
        return floor(self.thresholds, self.cutoff)


def bars(registry: Registry, database: Database, settings: WorkerSettings, only: str | None = None) -> list[Bar]:
    """Of each version whose manifest the registry has; or of `only` one. Raises NoModel if that is not registered."""
    found = []
    for version in [only] if only else registry.versions():
        with suppress(ModelCorrupt):
            thresholds = settings.thresholds(registry.manifest(version).thresholds)
            recent = recent_confidences(database, version, most=REMEMBERED)
            found.append(Bar(version, thresholds, Budget(thresholds.review_budget, recent).cutoff))
    return found
