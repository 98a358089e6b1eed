"""Run the promotion gate on a registered version, promote it if it passes, and log the reason."""

from collections.abc import Callable
from math import inf

from triagem.contracts.model import CurrentModel
from triagem.registry.decision import Decision, Reject, Rule
from triagem.registry.gate import evaluate_gate
from triagem.registry.history import PromotionReason
from triagem.registry.records import read_record
from triagem.registry.settings import RegistrySettings
from triagem.registry.store import Registry


def evaluate_version(
    registry: Registry,
    version: str,
    against: str | None = None,
    rule: Rule = Rule.IMPROVE,
    *,
    accept_cost: bool = False,
) -> Decision:
    """The gate's decision on a version compared with `against`; default: the current version, if any.

    Args:
        accept_cost: allow a version that costs more than TRIAGEM_MAX_COST_RATIO times the current version.

    Raises:
        NoModel, ModelCorrupt: either version's manifest is missing or unreadable.
    """
    registry.manifest(version)
    if against is not None:
        registry.manifest(against)
    elif current := registry.find_current():
        against = current.version
    record = read_record(registry, against, scored_by=version) if against else None
    limit = inf if accept_cost else RegistrySettings().max_cost_ratio
    return evaluate_gate(read_record(registry, version), record, rule, max_cost_ratio=limit)


def promote_through_gate(
    registry: Registry,
    version: str,
    rule: Rule = Rule.IMPROVE,
    *,
    accept_cost: bool = False,
    force: str | None = None,
    announce: Callable[[], object] = lambda: None,
) -> tuple[Decision, CurrentModel | None]:
    """Make a version current if it passes the gate.

    Args:
        accept_cost: see `evaluate_version`; logged.
        force: a reason to promote it even if the gate rejects it; logged with the gate's decision.
        announce: called just before the promotion, such as to write it to an audit trail: a process killed in
            between leaves an entry too many instead of a promotion without an entry.

    Returns:
        The gate's decision, and the new current model; None if it has not changed.
    """
    decision = evaluate_version(registry, version, rule=rule, accept_cost=accept_cost)
    rejected = isinstance(decision, Reject)
    if rejected and force is None:
        return decision, None
    applied = decision.evidence.rule
    reason = PromotionReason(
        decision=decision.decision,
        rule=applied and applied.value,
        forced=rejected,
        reason=force or ("--accept-cost" if accept_cost else ""),
    )
    announce()
    return decision, registry.promote(version, reason)


def roll_back(registry: Registry, reason: str, announce: Callable[[str], object]) -> CurrentModel:
    """Return to the version that was current before. `announce` is called with it first, as above.

    Raises NoModel if there is no such version.
    """
    if version := registry.rollback_version():
        announce(version)
    return registry.rollback(reason)
