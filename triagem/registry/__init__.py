"""Registry of model versions: immutable folders, the current version, and the promotion gate."""

from triagem.registry.store import Registry, RegistrySettings

__all__ = ["Registry", "RegistrySettings"]
