"""Effective thresholds per model version, as a freshly started worker would apply them."""

from contextlib import suppress
from dataclasses import dataclass

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.prediction import Thresholds
from triagem.db import Database
from triagem.db.tickets.queries import recent_confidences
from triagem.registry import Registry
from triagem.worker.bands import BUDGET_SAMPLE, ReviewBudget, min_automated_confidence
from triagem.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class EffectiveThresholds:
    """A version's thresholds, with overrides from the environment, and the cutoff of its review budget.

    The cutoff is 0 if fewer than 50 of the newest 1,000 tickets were classified by this version, and infinite if the
    budget covers all tickets.
    """

    version: str
    thresholds: Thresholds
    budget_cutoff: float

    @property
    def min_confidence(self) -> float:
        """The lowest confidence that is automated."""
        return min_automated_confidence(self.thresholds, self.budget_cutoff)


def effective_thresholds(
    registry: Registry, database: Database, settings: WorkerSettings
) -> list[EffectiveThresholds]:
    """Thresholds of every version with a manifest in the registry."""
    effective = []
    for version in registry.versions():
        with suppress(ModelCorrupt):
            thresholds = settings.thresholds(registry.manifest(version).thresholds)
            recent = recent_confidences(database, version, limit=BUDGET_SAMPLE)
            effective.append(
                EffectiveThresholds(version, thresholds, ReviewBudget(thresholds.review_budget, recent).cutoff)
            )
    return effective
