"""What can be run: model versions that never change, which of them is current, and the gate between the two."""

from triagem.registry.settings import RegistrySettings
from triagem.registry.store import Registry

__all__ = ["Registry", "RegistrySettings"]
