"""Packs a micro-batch into one row of tokens; attention stays within each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, groupby
from typing import Final

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

VARLEN: Final = find_spec("torch.nn.attention.varlen") is not None  # torch >= 2.10

# oneDNN compiles a kernel for each number of rows and caches a thousand kernels: without this step, a worker grew by
# 330 MiB between its 33,000th and its 100,000th ticket.
TOKENS_STEP: Final = 64


@dataclass(frozen=True, slots=True)
class Packing:
    """Concatenated texts. On the device: `ids`, `positions`, `starts` (and the end), `first`."""

    ids: torch.Tensor
    positions: torch.Tensor
    starts: torch.Tensor
    lengths: tuple[int, ...]

    @property
    def first(self) -> torch.Tensor:
        """The rows of the texts' first tokens."""
        return self.starts[:-1]

    def means(self, rows: torch.Tensor) -> torch.Tensor:
        """The mean of each text's rows in fp32, `(texts, width)`; not a number for an empty text."""
        ends, tokens = self.starts[1:], torch.arange(len(rows), dtype=torch.int32, device=rows.device)
        text_of_token = torch.searchsorted(ends, tokens, right=True)
        sums = torch.zeros(len(ends), rows.shape[1], device=rows.device)
        return sums.index_add_(0, text_of_token, rows.float()) / (ends - self.first).unsqueeze(1)


def concatenate(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, positions and starts of concatenated texts, 32-bit, on the CPU."""
    lengths = list(map(len, rows))
    starts = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(lengths, out=starts[1:])
    ids = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(starts[-1]))
    positions = np.arange(len(ids), dtype=np.int32) - np.repeat(starts[:-1], lengths)
    return torch.from_numpy(ids), torch.from_numpy(positions), torch.from_numpy(starts)


def pack(rows: Sequence[Sequence[int]], device: torch.device) -> Packing:
    """Pack the token ids of non-empty texts into one row on the device, in one copy."""
    columns = concatenate(rows)
    joined = torch.cat(columns)
    if device.type == "cuda":
        joined = joined.pin_memory()
    ids, positions, starts = torch.split(joined.to(device, non_blocking=True), [len(column) for column in columns])
    return Packing(ids, positions, starts, tuple(map(len, rows)))


def pad_to_step(rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """The texts, plus a padding text that makes the number of tokens a multiple of `TOKENS_STEP`."""
    return [*rows, (0,) * (TOKENS_STEP - sum(map(len, rows)) % TOKENS_STEP)]


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, heads: int) -> torch.Tensor:
    """Each text's attention to itself.

    Args:
        query: `(tokens, width)`, or `(texts, width)` if only the first tokens attend.
        key, value: `(tokens, width)`.

    Returns:
        The shape of `query`.
    """
    query, key, value = (tensor.view(len(tensor), heads, -1) for tensor in (query, key, value))
    first_only = len(query) == len(packing.lengths)
    # varlen is flash attention, which supports half precision only.
    if query.is_cuda and VARLEN and query.dtype is not torch.float32:
        # Imports torch's compiler, which takes as long as the rest of torch's modules: on a GPU only.
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415

        starts, longest = packing.starts, max(packing.lengths)
        if first_only:
            query_starts = torch.arange(len(packing.starts), dtype=torch.int32, device=query.device)
            attended = varlen_attn(query, key, value, query_starts, starts, 1, longest)
        else:
            attended = varlen_attn(query, key, value, starts, starts, longest, longest)
        return attended.flatten(1)  # type: ignore[union-attr]  # a tuple only with return_aux
    out = torch.empty_like(query)
    end = query_end = 0
    # Micro-batches are planned by length, so texts of equal length are adjacent and can be computed together.
    for length, run in groupby(packing.lengths):
        texts = len(list(run))
        start, end = end, end + texts * length
        query_start, query_end = query_end, query_end + (texts if first_only else texts * length)
        parts = (query[query_start:query_end], key[start:end], value[start:end])
        q, k, v = (part.view(texts, -1, *part.shape[1:]).transpose(1, 2) for part in parts)
        out[query_start:query_end] = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    return out.flatten(1)
