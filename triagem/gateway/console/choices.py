"""What there is to choose from: labels, bands."""

from contextlib import suppress

from triagem.contracts.errors import NoModel
from triagem.db.reviews import labels
from triagem.gateway.room import Room


def known_labels(room: Room) -> list[str]:
    """The current model's labels, then those that people added."""
    found = list[str]()
    with suppress(NoModel):
        found += room.registry.manifest(room.registry.current().version).labels
    return [*dict.fromkeys([*found, *labels(room.database)])]
