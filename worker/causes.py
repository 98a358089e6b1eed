"""Dead-letter cause codes, a metric label. The human-readable reason is stored separately."""

from enum import StrEnum


class Cause(StrEnum):
    """Cause of a dead letter. The rest of its batch was processed."""

    UNREADABLE = "unreadable"
    NOT_PREPARED = "cannot-be-prepared"
    MODEL_FAILS = "model-fails"
    CRASHED_WORKERS = "crashed-workers"
    NOT_STORED = "cannot-be-stored"
    NO_MODEL = "no-model"
