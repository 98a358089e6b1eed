"""What waits: two Redis Streams, who holds which entry, and who is alive."""

from inbox.client import connect
from inbox.settings import InboxSettings
from inbox.stream import Depth, Entry, Inbox, Noted, Once

__all__ = ["Depth", "Entry", "Inbox", "InboxSettings", "Noted", "Once", "connect"]
