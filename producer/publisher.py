"""Publishes tickets to the inbox from Python. Needs no extra: no torch, no database driver."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pydantic import JsonValue

from triagem import servers
from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Lane, Message, Ticket, accept
from triagem.contracts.wire import encode
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.producer.client_protocol import TicketFields, ticket_data


@dataclass(frozen=True, slots=True)
class Accepted:
    """Redis has the ticket: it will be classified. `entry_id` is the id of its stream entry."""

    entry_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The ticket is invalid; `reason` is one line that names the field. `field` is None if none is at fault."""

    reason: str
    field: str | None = None


class Publisher:
    """Puts tickets into the inbox.

    >>> from datetime import datetime
    >>> from triagem import Publisher
    >>> publisher = Publisher.from_environment()                        # doctest: +SKIP
    >>> publisher.publish(                                              # doctest: +SKIP
    ...     source="zendesk",
    ...     external_id="4711",
    ...     text="Fatura em dobro\\nFui cobrado duas vezes este mês",
    ...     revised_at=datetime.fromisoformat("2026-11-02T09:30:00-03:00"),
    ... )
    Accepted(entry_id='1762086600000-0')

    Publishing the same ticket again is harmless: it is stored once, and an unchanged text isn't classified again.
    A ticket with a newer `revised_at` replaces the previous text; with `message`, it replaces only the text of this
    message of the conversation. A publisher may be shared between threads.
    `triagem.Client` has the same methods for the HTTP API.
    """

    def __init__(self, inbox: Inbox, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._inbox = inbox
        self._now = now

    @classmethod
    def from_url(cls, redis_url: str, settings: InboxSettings | None = None) -> Self:
        """A publisher for a `redis://` or `rediss://` URL."""
        return cls(Inbox(connect(redis_url), settings))

    @classmethod
    def from_environment(cls) -> Self:
        """A publisher for `TRIAGEM_REDIS_URL`, or the file that `TRIAGEM_REDIS_URL_FILE` names, or the local stack.

        Raises:
            NotConfigured: neither variable is set, and `triagem up` does not run in this folder.
            InvalidInput: both variables are set, or the file cannot be read.
        """
        return cls(servers.inbox())

    def publish(
        self,
        *,
        source: str,
        external_id: str,
        text: str,
        revised_at: datetime | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        message: Message | None = None,
        lane: Lane = Lane.LIVE,
    ) -> Accepted:
        """Publish one ticket.

        Args:
            source: the CRM, such as `zendesk`.
            external_id: the ticket's id in that CRM.
            text: subject, newline, body.
            revised_at: when the CRM says this text was written, with an offset; None means now.
            metadata: JSON values, stored with the ticket.
            message: makes the text one message of the conversation; None means the ticket's whole text.
            lane: `live`, or `bulk` for texts that no customer waits for.

        Raises:
            InvalidTicket: names the invalid field, or `lane`; nothing was published.
            InboxFull: the lane is full; try again later.
            InboxUnavailable, AccessDenied: Redis does not answer, or rejects the login.
        """
        fields = TicketFields(
            source=source,
            external_id=external_id,
            text=text,
            revised_at=revised_at,
            metadata=metadata,
            message=message,
        )
        ticket = accept(ticket_data(fields), now=self._now())
        return self.put([ticket], lane=lane)[0]

    def publish_many(
        self, tickets: Iterable[Ticket | TicketFields], *, lane: Lane = Lane.LIVE
    ) -> list[Accepted | Rejected]:
        """Publish many tickets in one round trip. An invalid ticket does not affect the others.

        Returns:
            One result per ticket, in their order.

        Raises:
            InboxFull: the lane cannot hold all of them; none was published. A batch above `capacity` never fits.
            InvalidTicket: there is no such lane.
            InboxUnavailable, AccessDenied: as `publish`.
        """
        now = self._now()
        results: list[Accepted | Rejected | None] = []
        valid: list[Ticket] = []
        for fields in tickets:
            try:
                valid.append(accept(ticket_data(fields), now=now))
                results.append(None)
            except InvalidTicket as error:
                results.append(Rejected(str(error), error.field or None))
        accepted = iter(self.put(valid, lane=lane))
        return [next(accepted) if result is None else result for result in results]

    def capacity(self, lane: Lane) -> int:
        """The most tickets that a lane can hold: its high-water mark."""
        return self._inbox.settings.high_water(lane)

    def put(self, tickets: Sequence[Ticket], *, lane: Lane = Lane.LIVE, request_id: str = "") -> list[Accepted]:
        """Put tickets that `accept` has validated, all or none. Raises as `publish_many`.

        `request_id` travels with them and appears in the worker's log.
        """
        ids = self._inbox.put(lane, [encode(ticket) for ticket in tickets], request_id=request_id)
        return [Accepted(entry_id.decode()) for entry_id in ids]
