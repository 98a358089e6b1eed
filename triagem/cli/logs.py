"""Configures logging to standard error: readable on a terminal, JSON lines elsewhere. Called once by the entry point.

Logs contain no customer text and no password, so tracebacks are logged without messages.
"""

import logging
import sys

import structlog

from triagem.cli.tracebacks import strip_exception_messages

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


def configure(level: int) -> None:
    """Route structlog and the standard library's logging through one renderer, at `level` and above."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
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
                renderer,
            ],
        )
    )
    logging.raiseExceptions = False  # otherwise a record that cannot be formatted is printed with all its arguments
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else logging.WARNING)
