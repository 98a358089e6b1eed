"""Archives the model versions that nothing needs any more; see `triagem.registry.history`."""

import structlog

from triagem.db import Database, runs, training_jobs
from triagem.db.audit import Actor, record
from triagem.db.model_versions import versions_of_results
from triagem.registry import Registry, RegistrySettings
from triagem.registry.history import ArchiveDecision, decide_archive

log = structlog.get_logger(__name__)


def plan_archive(database: Database, registry: Registry) -> list[ArchiveDecision]:
    """The decision on each version that has its weights. Changes nothing."""
    versions, archived = registry.versions(), registry.archived()
    in_use = dict.fromkeys(versions_of_results(database, versions), "results with a text are of it")
    if run := runs.find_active(database):
        in_use[run.version] = "a run uses it"
    if (proposal := training_jobs.newest_proposal(database)) and proposal.version:
        in_use[proposal.version] = "proposed"
    if current := registry.find_current():
        if previous := registry.rollback_version():
            in_use[previous] = "a rollback returns to it"
        in_use[current.version] = "current"
    return decide_archive(versions, archived, in_use, RegistrySettings().keep_versions)


def archive_old_versions(database: Database, registry: Registry, actor: Actor) -> list[ArchiveDecision]:
    """Archive versions by `plan_archive`, and add each to the audit trail first."""
    decisions = plan_archive(database, registry)
    for decision in decisions:
        if decision.kept_for is None:
            record(database, actor, "model.archive", decision.version)
            registry.archive(decision.version)
            log.info("version_archived", version=decision.version)
    return decisions
