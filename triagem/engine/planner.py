"""Plans micro-batches from token lengths. Pure."""

from collections.abc import Sequence


def plan(lengths: Sequence[int], *, batch_size: int, batch_tokens: int | None = None) -> list[list[int]]:
    """Group texts of similar length.

    Args:
        lengths: the number of tokens of each text, all positive.
        batch_size: the maximum number of texts in a micro-batch, at least 1.
        batch_tokens: the maximum number of tokens in a micro-batch; a single text may exceed it.

    Returns:
        Lists of indices of `lengths`. Each index is in exactly one list, shortest texts first, so that a padded
        engine pads little and short texts do not wait for long ones.
    """
    batches: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        size = lengths[index]
        full = batches and (
            len(batches[-1]) >= batch_size or (batch_tokens is not None and tokens + size > batch_tokens)
        )
        if not batches or full:
            batches.append([])
            tokens = 0
        batches[-1].append(index)
        tokens += size
    return batches
