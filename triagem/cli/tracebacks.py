"""Where an exception came from, without what it says: a library's message may hold a customer's text or a password.

Our own errors promise to hold neither, so their messages stay. No local variables, no notes.
"""

import sys
import traceback
from typing import Final

from structlog.typing import EventDict, WrappedLogger

from triagem.contracts.errors import TriagemError

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def told(error: BaseException) -> str:
    """A traceback as Python prints it, the exceptions before it included, with their types for messages."""
    told_before: set[int] = set()

    def tell(one: BaseException) -> str:
        told_before.add(id(one))
        before, link = one.__cause__, _CAUSE
        if before is None and not one.__suppress_context__:
            before, link = one.__context__, _CONTEXT
        first = "" if before is None or id(before) in told_before else tell(before) + link
        frames = "".join(traceback.format_tb(one.__traceback__))
        members = "".join(map(tell, one.exceptions)) if isinstance(one, BaseExceptionGroup) else ""
        return f"{first}Traceback (most recent call last):\n{frames}{_name(one)}\n{members}"

    return tell(error).rstrip()


def without_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A step of logging: `exc_info` becomes `exception`, told as above."""
    found = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = told(error)
    return event


def _name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {error}" if isinstance(error, TriagemError) else name
