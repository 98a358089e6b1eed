"""How a CRM hands tickets in from Python: `pip install triagem` is enough, no torch, no database driver."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from triagem.contracts.errors import InvalidTicket, NotConfigured
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.contracts.wire import encode
from triagem.inbox import Inbox, InboxSettings, Noted, Once, connect


@dataclass(frozen=True, slots=True)
class Accepted:
    """Redis has the ticket: it will be classified. `entry_id` is its place in the lane."""

    entry_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The ticket was refused: what is wrong, in one line."""

    reason: str


class Publisher:
    """Puts tickets into the inbox.

    >>> from triagem.producer import Publisher
    >>> publisher = Publisher.from_environment()                        # doctest: +SKIP
    >>> publisher.publish(                                              # doctest: +SKIP
    ...     source="zendesk",
    ...     external_id="4711",
    ...     text="Fatura em dobro\\nFui cobrado duas vezes este mês",
    ...     revised_at="2026-11-02T09:30:00-03:00",
    ... )
    Accepted(entry_id='1762086600000-0')

    Handing in the same ticket again is harmless: it is stored once, and an unchanged text isn't classified again.
    A ticket with a newer `revised_at` replaces the former text. One publisher may serve many threads.
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
        """A publisher for `TRIAGEM_REDIS_URL`. Raises NotConfigured if that is not set."""
        settings = InboxSettings()
        if settings.redis_url is None:
            raise NotConfigured("TRIAGEM_REDIS_URL is not set")
        return cls.from_url(settings.redis_url.get_secret_value(), settings)

    def publish(self, *, lane: Lane = Lane.LIVE, **fields: Any) -> Accepted:
        """Hand in one ticket; the fields are those of `triagem.contracts.ticket.Ticket`.

        Raises:
            InvalidTicket: naming the wrong field; nothing was handed in.
            InboxFull: the lane is full; try again later.
            InboxAway, AccessDenied: Redis does not answer, or refuses us.
        """
        ticket = accept(fields, now=self._now())
        return self.put([ticket], lane=lane)[0]

    def publish_many(
        self, tickets: Sequence[Mapping[str, Any]], *, lane: Lane = Lane.LIVE
    ) -> list[Accepted | Rejected]:
        """Hand in many tickets in one round trip; a bad one never sinks the rest.

        Returns:
            One answer a ticket, in their order.

        Raises:
            InboxFull: the lane has no room for all of them; none was handed in. More than `most` never have room.
            InboxAway, AccessDenied: as `publish`.
        """
        now = self._now()
        answers: list[Accepted | Rejected | None] = []
        good: list[Ticket] = []
        for fields in tickets:
            try:
                good.append(accept(fields, now=now))
                answers.append(None)
            except InvalidTicket as error:
                answers.append(Rejected(str(error)))
        accepted = iter(self.put(good, lane=lane))
        return [next(accepted) if answer is None else answer for answer in answers]

    def most(self, lane: Lane) -> int:
        """How many tickets a lane can hold at all: its high-water mark."""
        return self._inbox.settings.mark(lane)

    def put(self, tickets: Sequence[Ticket], *, lane: Lane = Lane.LIVE, request_id: str = "") -> list[Accepted]:
        """Hand in tickets that `accept` has checked, all or none. Raises as `publish_many`.

        `request_id` travels with them into the worker's log.
        """
        ids = self._inbox.put(lane, [encode(ticket) for ticket in tickets], request_id=request_id)
        return [Accepted(entry_id.decode()) for entry_id in ids]

    def put_once(self, tickets: Sequence[Ticket], once: Once, *, lane: Lane, request_id: str = "") -> Noted:
        """Like `put`, unless something was put under the key of `once` before; returns what stands there now."""
        return self._inbox.put_once(lane, [encode(ticket) for ticket in tickets], once, request_id=request_id)
