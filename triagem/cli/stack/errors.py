"""The error of the local stack. A missing package is `contracts.errors.MissingExtra` instead."""

from triagem.contracts.errors import NotRetryable


class StackFailed(NotRetryable):
    """A local server could not be started, stopped or reached. The message names it and what to do."""
