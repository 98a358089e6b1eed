"""Why an entry became a dead letter, as one of few words: for metrics. The reason beside it says more."""

from enum import StrEnum


class Cause(StrEnum):
    """What went wrong with an entry alone, while its neighbours went on."""

    UNREADABLE = "unreadable"
    UNPREPARED = "cannot-be-prepared"
    MODEL_FAILS = "model-fails"
    ENDED_WORKERS = "ended-workers"
    NOT_STORED = "cannot-be-stored"
    NO_MODEL = "no-model"
