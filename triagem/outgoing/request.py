"""An HTTP request as a value, and the result of having sent it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Request:
    """A request, sent as it is. Headers hold credentials: neither they nor the body show in a repr."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver accepted it. `body` is the response to a GET; other responses are not read."""

    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """It may succeed later; the receiver asked for `after_s` seconds. `reason` holds no body and no credential."""

    reason: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Sending the same again cannot succeed: somebody has to fix the cause."""

    reason: str


SendResult = Delivered | Retry | Undeliverable
