"""Token lengths to micro-batches. Pure: it decides who is computed together, nothing else."""

from collections.abc import Sequence


def plan(lengths: Sequence[int], *, batch_size: int, batch_tokens: int | None = None) -> list[list[int]]:
    """Group texts of like length.

    Args:
        lengths: tokens of each text, all positive.
        batch_size: the most texts in a micro-batch, at least 1.
        batch_tokens: the most tokens in a micro-batch; one text alone may exceed it.

    Returns:
        Lists of positions in `lengths`. Each position stands in exactly one list, shortest texts first, so
        that a padded engine pads little and the customers who wrote least wait least.
    """
    batches: list[list[int]] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        size = lengths[position]
        full = batches and (
            len(batches[-1]) >= batch_size or (batch_tokens is not None and tokens + size > batch_tokens)
        )
        if not batches or full:
            batches.append([])
            tokens = 0
        batches[-1].append(position)
        tokens += size
    return batches
