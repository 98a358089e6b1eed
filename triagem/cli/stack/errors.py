"""The one way in which the local stack itself fails; a missing package is contracts' MissingExtra."""

from triagem.contracts.errors import Final


class StackFailed(Final):
    """A local server could not be started, stopped or reached: the message says which, and how to mend it."""
