"""A micro-batch as one row of tokens, and attention that keeps its texts apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

try:
    from torch.nn.attention.varlen import varlen_attn

    VARLEN: Final = True
except ImportError:  # torch < 2.10
    VARLEN = False  # type: ignore[misc]

# oneDNN makes a kernel for each number of rows that it meets, and keeps a thousand: a worker grew by 330 MiB between
# its 33,000th and its 100,000th ticket.
TOKENS_STEP: Final = 64


@dataclass(frozen=True, slots=True)
class Packing:
    """Texts one after another. On the device: `ids`, `positions`, `starts` (with the end), `first`."""

    ids: torch.Tensor
    positions: torch.Tensor
    starts: torch.Tensor
    lengths: tuple[int, ...]

    @property
    def first(self) -> torch.Tensor:
        """The rows of the texts' first tokens."""
        return self.starts[:-1]


def columns(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, positions and starts of texts one after another, 32-bit, on the CPU."""
    lengths = list(map(len, rows))
    starts = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(lengths, out=starts[1:])
    ids = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(starts[-1]))
    positions = np.arange(len(ids), dtype=np.int32) - np.repeat(starts[:-1], lengths)
    return torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(starts)


def pack(rows: Sequence[Sequence[int]], device: torch.device) -> Packing:
    """Token ids of texts, none of them empty, to one row on the device, in one copy."""
    apart = columns(rows)
    whole = torch.cat(apart)
    if device.type == "cuda":
        whole = whole.pin_memory()
    ids, positions, starts = torch.split(whole.to(device, non_blocking=True), [len(one) for one in apart])
    return Packing(ids, positions, starts, tuple(map(len, rows)))


def filled(rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """The texts, and behind them one of padding that makes their tokens a multiple of `TOKENS_STEP`."""
    return [*rows, (0,) * (TOKENS_STEP - sum(map(len, rows)) % TOKENS_STEP)]


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, heads: int) -> torch.Tensor:
    """Each text's attention to itself.

    Args:
        query: `(tokens, width)`, or `(texts, width)` if only the first tokens ask.
        key, value: `(tokens, width)`.

    Returns:
        As `query`.
    """
    query, key, value = (one.view(len(one), heads, -1) for one in (query, key, value))
    first_only = len(query) == len(packing.lengths)
    # Flash attention, which varlen is, knows half precision only.
    if query.is_cuda and VARLEN and query.dtype is not torch.float32:
        starts, longest = packing.starts, max(packing.lengths)
        if first_only:
            alone = torch.arange(len(packing.starts), dtype=torch.int32, device=query.device)
            attended = varlen_attn(query, key, value, alone, starts, 1, longest)
        else:
            attended = varlen_attn(query, key, value, starts, starts, longest, longest)
        return attended.flatten(1)  # type: ignore[union-attr]  # a tuple only with return_aux
    out = torch.empty_like(query)
    end = asked = 0
    # Micro-batches are planned by length, so texts of one length stand together and are computed together.
    for length, run in groupby(packing.lengths):
        texts = len(list(run))
        start, end = end, end + texts * length
        begun, asked = asked, asked + (texts if first_only else texts * length)
        parts = (query[begun:asked], key[start:end], value[start:end])
        q, k, v = (one.view(texts, -1, *one.shape[1:]).transpose(1, 2) for one in parts)
        out[begun:asked] = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    return out.flatten(1)
