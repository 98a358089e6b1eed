"""Ticket inbox on Redis Streams: the queues of both lanes, worker leases and the scaling signal."""

from triagem.inbox.client import connect
from triagem.inbox.settings import InboxSettings
from triagem.inbox.stream import Depth, Entry, Idempotency, IdempotencyRecord, Inbox

__all__ = ["Depth", "Entry", "Idempotency", "IdempotencyRecord", "Inbox", "InboxSettings", "connect"]
