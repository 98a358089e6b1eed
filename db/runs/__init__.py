"""Reclassification runs: their lifecycle, pages, writes and comparison; and re-banding of stored results."""

from triagem.db.runs.lifecycle import (
    APPLY,
    CLASSIFY,
    ReclassifyRun,
    RunPlan,
    cancel,
    enqueue_lost,
    find,
    find_active,
    finish_if_done,
    newest_runs,
    pause,
    preview,
    report_waiting,
    resume,
    start,
    update_rate,
)

__all__ = [
    "APPLY", "CLASSIFY", "ReclassifyRun", "RunPlan", "cancel", "enqueue_lost", "find", "find_active",
    "finish_if_done", "newest_runs", "pause", "preview", "report_waiting", "resume", "start",
    "update_rate",
]  # fmt: skip
