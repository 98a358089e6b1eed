"""The one error tree. Every leaf is either retryable (try again later) or final (someone must act).

A leaf's message is one line that says what happened and what to do; the command prints it as it is.
"""

from typing import ClassVar


class TriagemError(Exception):
    """The root: anything that Triagem itself has to say about a failure."""

    retryable: ClassVar[bool] = False


class Retryable(TriagemError):
    """Nothing is wrong with the work itself: the same call may succeed later."""

    retryable = True


class Final(TriagemError):
    """Trying again changes nothing: somebody has to mend the input or the installation."""


class InboxFull(Retryable):
    """The lane is at its high-water mark, or Redis is at its memory limit: wait until workers have drained it."""


class InboxAway(Retryable):
    """Redis does not answer: check TRIAGEM_REDIS_URL, and that the server is up."""


class GroupMissing(InboxAway):
    """Redis has lost our consumer group (a flush, a new server): make it anew, from the first entry on."""


class DatabaseAway(Retryable):
    """Postgres does not answer, or asks to try again: check TRIAGEM_DATABASE_URL, and that the server is up."""


class GatewayAway(Retryable):
    """The gateway does not answer, or not with what was asked for: check its URL, and that it is up."""


class AlreadyTraining(Retryable):
    """The same training runs in another process: wait for it, or end it."""


class RegistryAway(Retryable):
    """The store of model versions does not answer: check TRIAGEM_REGISTRY_URL, the network, and its credentials."""


class AccessDenied(Final):
    """A server refused our user or password: mend the URL in the environment."""


class NotTrusted(Final):
    """A server's certificate is not one that the URL trusts: mend the authority's file or the host name in it."""


class NotMigrated(Final):
    """The database lacks our tables or has older ones: run `triagem db upgrade`."""


class RowRefused(Final):
    """Postgres refused a value (SQLSTATE class 22, 23, 54): the row becomes a dead letter, its neighbours commit."""


class StatementRefused(Final):
    """Postgres refused a statement whatever it holds: check the versions of Triagem and of the database."""


class InvalidTicket(Final):
    """A producer handed in something that is no ticket: mend the named field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


class UnreadableEntry(Final):
    """A stream entry is not a ticket that this version can read: it becomes a dead letter."""


class InvalidInput(Final):
    """A file or an option that was handed in cannot be used: mend it as the message says."""


class NoModel(Final):
    """The registry has no such version, or none is current: train one or promote one."""


class ModelCorrupt(Final):
    """A version's files differ from its manifest: restore the folder or train again."""


class LabelsMismatch(Final):
    """A model's labels do not fit what was asked of it: promote a version whose labels fit."""


class NotFinite(Final):
    """A model answered with a probability that is no number: it must never become a decision."""


class ModelBroken(Final):
    """The model fails on texts that it must know: check the device. The worker stops, and condemns no ticket."""


class OutOfMemory(Final):
    """The device has no room for a micro-batch: halves are tried; if one text alone has no room, the worker stops."""


class NotConfigured(Final):
    """A command needs a server that is neither configured nor running: start the stack or set the URL."""


class MissingExtra(Final):
    """A command needs packages that are not installed: `pip install 'triagem[...]'` as the message says."""
