"""Fits the training schedule (steps, warm-up, evaluations) to the number of rows. Pure.

The original specification's 100 warm-up steps and 200 steps between evaluations suit tens of thousands of rows. On a
thousand rows, the learning rate would never reach its full value, and there would be no two checkpoints to compare.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from triagem.trainer.settings import TrainSettings

POOL: Final = 16  # batches per sorted pool; a larger pool hardly reduces padding further


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of a training. `notes` describes where it differs from the settings."""

    epochs: int
    accumulation: int
    steps: int
    warmup_steps: int
    eval_steps: int
    workers: int
    notes: tuple[str, ...]


def fit_schedule(rows: int, settings: TrainSettings, *, cores: int) -> Schedule:
    """Fit the settings to the data and the machine.

    If there are too few steps, first accumulate over fewer batches, which costs nothing, and only then add epochs.

    Args:
        rows: the number of training rows, without those held out; at least 1.
        cores: CPU cores. Training itself uses two; on two cores a loader process would only slow it down.
    """
    notes: list[str] = []
    batches = ceil(rows / settings.per_device_train_batch_size)
    requested = settings.gradient_accumulation_steps
    steps = settings.num_train_epochs * ceil(batches / requested)
    enough = (
        a for a in range(requested, 0, -1) if settings.num_train_epochs * ceil(batches / a) >= settings.min_steps
    )
    accumulation = next(enough, 1)
    if accumulation != requested:
        size = settings.per_device_train_batch_size
        notes.append(
            f"{rows:,} rows give {steps:,} steps, fewer than {settings.min_steps}: a step uses {accumulation * size} "
            f"rows instead of {requested * size}"
        )
    epochs = max(settings.num_train_epochs, ceil(settings.min_steps / ceil(batches / accumulation)))
    steps = epochs * ceil(batches / accumulation)
    if epochs != settings.num_train_epochs:
        notes.append(
            f"{epochs} epochs instead of {settings.num_train_epochs}, because TRIAGEM_TRAIN_MIN_STEPS is "
            f"{settings.min_steps}: {steps:,} steps"
        )
    warmup_steps = settings.warmup_steps
    if warmup_steps * 5 > steps:
        warmup_steps = max(1, round(steps / 10))
    if warmup_steps != settings.warmup_steps:
        notes.append(f"warm-up over {warmup_steps:,} of the {steps:,} steps instead of {settings.warmup_steps:,}")
    eval_steps = settings.eval_steps
    if eval_steps * 4 > steps:
        eval_steps = max(1, steps // 4)
    if eval_steps != settings.eval_steps:
        notes.append(
            f"evaluation and checkpoint every {eval_steps:,} steps instead of {settings.eval_steps:,}: "
            f"{ceil(steps / eval_steps)} checkpoints"
        )
    workers = min(settings.dataloader_num_workers, max(0, cores - 2))
    if workers != settings.dataloader_num_workers:
        notes.append(f"{workers} loader processes instead of {settings.dataloader_num_workers} on {cores} cores")
    if settings.class_weights == "balanced":
        notes.append("rare labels weigh more: the probabilities no longer reflect the label distribution")
    return Schedule(epochs, accumulation, steps, warmup_steps, eval_steps, workers, tuple(notes))


def epoch_order(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[int]:
    """One epoch's order of the rows: shuffled, with rows of similar length in each batch to reduce padding.

    The order depends only on seed and epoch, so that a resumed training has the same order.

    On the sample data, padding makes a batch of 8 in plain shuffled order 2.6 times as long as its texts, and in this
    order 1.2 times. A shorter last batch holds random rows, because each of its rows has a higher weight.
    """
    rng = random.Random(f"{seed} {epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    full = len(order) - len(order) % batch_size
    batches: list[list[int]] = []
    for start in range(0, full, batch_size * POOL):
        pool = sorted(order[start : min(full, start + batch_size * POOL)], key=lengths.__getitem__)
        batches += [pool[index : index + batch_size] for index in range(0, len(pool), batch_size)]
    rng.shuffle(batches)
    return [row for batch in [*batches, order[full:]] for row in batch]
