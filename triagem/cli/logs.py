"""Logs on standard error: readable on a terminal, JSON lines everywhere else. Set up once, by the entry point.

No customer's text and no password: tracebacks come without messages.
"""

import logging
import sys

import structlog

from triagem.cli.tracebacks import without_messages

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
    """Route structlog and the standard library's logging, from `level` on, through one renderer."""
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, without_messages, renderer],
        )
    )
    logging.raiseExceptions = False  # a line that cannot be formatted would be printed with all that it was given
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else logging.WARNING)
