"""What waits: two Redis Streams, who holds which entry, and who is alive."""

from triagem.inbox.client import connect
from triagem.inbox.settings import InboxSettings
from triagem.inbox.stream import Depth, Entry, Inbox, Noted, Once

__all__ = ["Depth", "Entry", "Inbox", "InboxSettings", "Noted", "Once", "connect"]
