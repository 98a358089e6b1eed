"""What can be run: model versions as immutable folders, and which of them is current."""

from registry.store import Registry, RegistrySettings

__all__ = ["Registry", "RegistrySettings"]
