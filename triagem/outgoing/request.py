"""A request as a value, and the verdict on having sent it: what to do next is somebody else's to act on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Request:
    """A request to be sent as it is. Headers hold credentials: neither they nor the body show in a repr."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it. `answer` is what it answered to a GET; of other answers nothing is read."""

    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Again:
    """It may work later; `after` is what the receiver asked for, in seconds. A reason holds no body or credential."""

    reason: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Sending the same again changes nothing: somebody has to look."""

    reason: str


Verdict = Delivered | Again | GiveUp
