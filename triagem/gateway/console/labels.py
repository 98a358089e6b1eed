"""The labels that a reviewer can choose from."""

from contextlib import suppress

from triagem.contracts.errors import NoModel
from triagem.db.reviews import reviewed_labels
from triagem.gateway.services import Services


def known_labels(services: Services) -> list[str]:
    """The current model's labels, then labels that reviewers added."""
    known = list[str]()
    with suppress(NoModel):
        known += services.registry.manifest(services.registry.current().version).labels
    return [*dict.fromkeys([*known, *reviewed_labels(services.database)])]
