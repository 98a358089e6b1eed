"""Reviews: people's labels for texts. Selects texts to review, records labels, and estimates accuracy from them.

The latest review of a text determines its label (INV-16). A review without a label means "unclear": the model's label
stays the effective one, and the text counts as reviewed.
"""

from triagem.db.reviews.accuracy import AccuracyEstimate, StratumAccuracy, model_accuracy
from triagem.db.reviews.queue import MAX_COUNTED, QueueFilters, queue_length
from triagem.db.reviews.records import (
    MAX_COMMENT_CHARS,
    ReviewRejected,
    record_review,
    undo_review,
)
from triagem.db.reviews.sampling import (
    ReviewTask,
    assigned_task,
    draw_tasks,
    lease_disputed_task,
    release_task,
)

__all__ = [
    "MAX_COMMENT_CHARS", "MAX_COUNTED", "AccuracyEstimate", "QueueFilters",
    "ReviewRejected", "ReviewTask", "StratumAccuracy", "assigned_task", "draw_tasks",
    "lease_disputed_task", "model_accuracy", "queue_length", "record_review",
    "release_task", "undo_review",
]  # fmt: skip
