"""Copies the registry's versions and promotions to Postgres, and notices a registry that was restored."""

from contextlib import suppress

import structlog

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.db import Database
from triagem.db.model_versions import record_promotion, record_version, recorded
from triagem.registry import Registry
from triagem.registry.history import promotions_in_effect

log = structlog.get_logger(__name__)


def copy_registry(database: Database, registry: Registry) -> None:
    """Record what is new since the last call. Raises DatabaseUnavailable or the registry's errors."""
    known, last_epoch = recorded(database)
    for name in registry.versions():
        if name not in known:
            _record_version(database, registry, name)
    with suppress(NoModel):
        current = registry.current()
        for promotion in promotions_in_effect(registry.promotions(), current):
            if promotion.epoch > last_epoch:
                record_promotion(database, promotion.epoch, promotion.version, promotion.at)
        if current.epoch < last_epoch:
            log.error(
                "registry_older_than_results",
                current_epoch=current.epoch,
                recorded_epoch=last_epoch,
                reason="restore a newer copy of the registry, or promote until its epoch is higher",
            )


def _record_version(database: Database, registry: Registry, name: str) -> None:
    try:
        manifest, digest = registry.manifest(name), registry.manifest_digest(name)
    except (NoModel, ModelCorrupt) as error:  # removed meanwhile, or damaged: the next call tries again
        log.warning("version_not_recorded", version=name, reason=str(error))
    else:
        record_version(database, name, manifest_digest=digest, created_at=manifest.created_at, labels=manifest.labels)
