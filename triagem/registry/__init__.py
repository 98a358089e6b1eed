"""Registry of model versions: immutable folders, the current version, and the promotion gate."""

from triagem.registry.settings import RegistrySettings
from triagem.registry.store import Registry

__all__ = ["Registry", "RegistrySettings"]
