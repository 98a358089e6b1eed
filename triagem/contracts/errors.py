"""Error hierarchy. Every leaf is either retryable (try again later) or not (someone must act).

A message is one line that says what happened and what to do; the command line prints it unchanged.
"""

from typing import Final

CHECK_STORES: Final = "`triagem doctor` shows the address and what to do"  # after an error about Redis or Postgres
_NOT_POSTGRES: Final = "what listens there is not Postgres: check TRIAGEM_DATABASE_URL"
# A part of a driver's message or of its class, and the reason in plain words.
_REASONS: Final = {
    "invalidresponse": "what listens there is not Redis: check TRIAGEM_REDIS_URL",
    "invalid response to ssl negotiation": _NOT_POSTGRES,
    "expected authentication request": _NOT_POSTGRES,
    "timeout": "timeout",
    "no answer within": "timeout",
    "refused": "connection refused",
    "reset": "connection closed",
    "closed": "connection closed",
    "resolve host": "unknown host name",
    "translate host": "unknown host name",
    "name or service": "unknown host name",
    "loading": "it is loading its data",
    "read only": "it is a read-only replica",
}


def connection_problem(error: BaseException) -> str:
    """The reason why a server does not answer, in plain words: a driver's message may show a password or a text."""
    text = f"{type(error).__name__} {error}".lower()
    return next((reason for part, reason in _REASONS.items() if part in text), "connection failed")


class TriagemError(Exception):
    """Base class of all errors that Triagem raises itself."""


class Retryable(TriagemError):
    """The input is not at fault: the same call may succeed later."""


class NotRetryable(TriagemError):
    """A retry cannot succeed: someone has to fix the input or the installation."""


class InboxFull(Retryable):
    """The lane is at its high-water mark, or Redis at its memory limit: wait until workers have drained it."""


class InboxUnavailable(Retryable):
    """Redis does not answer: check TRIAGEM_REDIS_URL, and that the server is running."""


class GroupMissing(InboxUnavailable):
    """Redis has lost our consumer group (a flush, a new server): create it again, from the first entry on."""


class DatabaseUnavailable(Retryable):
    """Postgres does not answer, or asks for a retry: check TRIAGEM_DATABASE_URL, and that the server is running."""


class WindowTooLarge(DatabaseUnavailable):
    """Postgres ended a statement that took too long or too much memory: a smaller one may succeed."""


class GatewayUnavailable(Retryable):
    """The gateway does not answer, or sends an unexpected answer: check its URL, and that it is running."""


class AlreadyTraining(Retryable):
    """The same training is running in another process: wait for it, or stop it."""


class RegistryUnavailable(Retryable):
    """The model registry does not answer: check TRIAGEM_REGISTRY_URL, the network, and the credentials."""


class AccessDenied(NotRetryable):
    """A server rejected our user or password: fix the URL in the environment."""


class UntrustedCertificate(NotRetryable):
    """A server's certificate is not trusted: fix the CA file or the host name in the URL."""


class NotMigrated(NotRetryable):
    """The database has no Triagem tables, or tables of an older release: run `triagem db upgrade`."""


class RowRefused(NotRetryable):
    """Postgres rejected a value (SQLSTATE class 22, 23, 54): the row becomes a dead letter, the other rows commit."""


class StatementRefused(NotRetryable):
    """Postgres rejected a statement, not one of its values: check the versions of Triagem and of the database."""


class InvalidTicket(NotRetryable):
    """Not a valid ticket: fix the named field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


class UnreadableEntry(NotRetryable):
    """A stream entry is not a ticket that this release can read: it becomes a dead letter."""


class InvalidInput(NotRetryable):
    """A file or an option cannot be used: fix it as the message says."""


class NoModel(NotRetryable):
    """The registry has no such version, or none is current: train one or promote one."""


class ModelCorrupt(NotRetryable):
    """A version's files differ from its manifest: restore the folder or train again."""


class LabelsMismatch(NotRetryable):
    """A model's labels do not match the required ones: promote a version with matching labels."""


class NotFinite(NotRetryable):
    """A model returned a probability that is not finite, which must never become a decision."""


class ModelBroken(NotRetryable):
    """The model fails the self-check: check the device. The worker stops, and no ticket becomes a dead letter."""


class OutOfMemory(NotRetryable):
    """The device lacks memory for a micro-batch.

    The micro-batch is halved; if a single text does not fit, the worker stops.
    """


class NotConfigured(NotRetryable):
    """A command needs a server that is neither configured nor running: start the stack or set the URL."""


class MissingExtra(NotRetryable):
    """A command needs packages that are not installed: `pip install 'triagem[...]'` as the message says."""
