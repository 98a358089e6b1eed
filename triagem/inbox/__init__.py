"""Ticket inbox on Redis Streams: the queues of both lanes, worker leases and the scaling signal."""

from triagem.inbox.batch import Batch, Idempotency, PutRecord
from triagem.inbox.client import InboxSettings, connect
from triagem.inbox.stream import Depth, Entry, Inbox

__all__ = ["Batch", "Depth", "Entry", "Idempotency", "Inbox", "InboxSettings", "PutRecord", "connect"]
