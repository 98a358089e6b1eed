"""Through the gate: judge a registered version beside the current one, promote it or not, and note why."""

from contextlib import suppress

from triagem.contracts.errors import NoModel
from triagem.contracts.model import CurrentModel
from triagem.registry.decision import Decision, Reject, Rule
from triagem.registry.evidence import record
from triagem.registry.gate import judge
from triagem.registry.promotions import Why
from triagem.registry.store import Registry


def consider(registry: Registry, version: str, against: str | None = None, rule: Rule = Rule.IMPROVE) -> Decision:
    """What the gate says of a version beside another; by default beside the current one, if there is one.

    Raises NoModel or ModelCorrupt if the version, or the other that was named, is not there.
    """
    registry.manifest(version)
    if against is not None:
        registry.manifest(against)
    else:
        with suppress(NoModel):
            against = registry.current().version
    return judge(record(registry, version), record(registry, against) if against else None, rule)


def through_gate(
    registry: Registry, version: str, rule: Rule = Rule.IMPROVE, *, force: str | None = None
) -> tuple[Decision, CurrentModel | None]:
    """Make a version current if the gate says so.

    Args:
        force: why it is to become current whatever the gate says; noted in the log with what the gate said.

    Returns:
        What the gate said, and what is current now; None if that has not changed.
    """
    decision = consider(registry, version, rule=rule)
    rejected = isinstance(decision, Reject)
    if rejected and force is None:
        return decision, None
    asked = decision.figures.rule
    why = Why(decision=decision.decision, rule=asked and asked.value, forced=rejected, reason=force or "")
    return decision, registry.promote(version, why)
