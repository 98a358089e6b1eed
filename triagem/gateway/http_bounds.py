"""Bounds the work of h11, uvicorn's HTTP parser: a single request could hold the event loop for seconds."""

import re
from typing import Any, Final

import h11
from h11 import _abnf, _readers

_MAX_HEADERS: Final = 100
_FREE_CHUNKS: Final = 100
_MIN_CHUNK_BYTES: Final = 64  # on average, beyond the free ones
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")

# h11 tries each of a header's leading blanks again if its value is malformed: 15,000 blanks took 0.7 s. A possessive
# quantifier accepts the same headers.
_readers.header_field_re = re.compile(_abnf.header_field.replace(r":[ \t]*(", r":[ \t]*+(").encode())


class BoundedConnection(h11.Connection):
    """A server's connection that refuses many headers, and bodies in tiny chunks."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            self._chunks = self._bytes = 0
            head = _END_OF_HEAD.split(self.trailing_data[0], maxsplit=1)[0]
            if head.count(b"\n") > _MAX_HEADERS:
                raise h11.RemoteProtocolError("too many headers")
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += 1
            self._bytes += len(event.data)
            if self._bytes < (self._chunks - _FREE_CHUNKS) * _MIN_CHUNK_BYTES:
                raise h11.RemoteProtocolError("the body's chunks are too small")
        return event
