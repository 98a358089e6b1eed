"""Configures logging to standard error, and formats tracebacks without the messages that may hold user data.

Logs contain no customer text and no password, so tracebacks are logged without messages.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from triagem.cli.output import printable
from triagem.contracts.errors import TriagemError

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def format_traceback(error: BaseException) -> str:
    """Format a traceback as Python does, chained exceptions included, with the type in place of each message."""
    formatted: set[int] = set()

    def format_chain(current: BaseException) -> str:
        formatted.add(id(current))
        previous, link = current.__cause__, _CAUSE
        if previous is None and not current.__suppress_context__:
            previous, link = current.__context__, _CONTEXT
        first = "" if previous is None or id(previous) in formatted else format_chain(previous) + link
        frames = "".join(traceback.format_tb(current.__traceback__))
        members = "".join(map(format_chain, current.exceptions)) if isinstance(current, BaseExceptionGroup) else ""
        return f"{first}Traceback (most recent call last):\n{frames}{_name(current)}\n{members}"

    return format_chain(error).rstrip()


def strip_exception_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: replaces `exc_info` with `exception`, formatted by `format_traceback`."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = format_traceback(error)
    return event


def escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters for terminals: a name from a CRM must not move the cursor. JSON needs no escaping."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _name(error: BaseException) -> str:
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"{name}: {error}" if isinstance(error, TriagemError) else name


_QUIET = (
    "celery",
    "kombu",
    "alembic",
    "httpx",
    "httpx2",
    "transformers",
    "datasets",
    "filelock",
    "fsspec",
    "urllib3",
    "uvicorn",
)


def configure(level: int, process: str = "triagem", *, send: Iterable[Processor] = ()) -> None:
    """Route structlog and the standard library's logging through one renderer, at `level` and above.

    Args:
        process: the name of this process, in each line.
        send: processors that also send lines to other places.
    """

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**event, "process": process, "pid": os.getpid()}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_process,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    renderers: list[Processor] = (
        [escape_controls, structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                strip_exception_messages,
                *send,
                *renderers,
            ],
        )
    )
    logging.raiseExceptions = False  # otherwise logging prints a record that it cannot format, with all its arguments
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else logging.WARNING)
