"""CUDA graphs for micro-batches of at most 32 texts: one launch instead of a hundred.

A GPU computes 32 short texts faster than Python launches the kernels. On an H100, 1,536 tokens take 3.9 ms with
single launches, and 1.0 ms with a replayed graph. Larger micro-batches keep the GPU busy, so a graph gains nothing.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import torch

from triagem.engine.packed import Packing, concatenate

TEXTS: Final = 32
# Tokens per graph. A micro-batch uses the next larger graph; an extra padding text fills the difference.
SIZES: Final = (128, *range(256, 2048, 256), *range(2048, 4097, 512))


class GraphReplay:
    """Captures `compute` once per size at load; `logits` replays the graph that fits."""

    def __init__(self, compute: Callable[[Packing], torch.Tensor], device: torch.device, longest: int) -> None:
        self._lock = threading.Lock()  # the graphs share their input and their memory
        self._input = torch.zeros(2 * SIZES[-1] + TEXTS + 2, dtype=torch.int32, device=device)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        pool = torch.cuda.graph_pool_handle()
        for size in reversed(SIZES):
            packing = self._packing(size, longest)
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                compute(packing)  # loads kernels and lets cuBLAS select algorithms outside of the capture
            torch.cuda.current_stream(device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Another thread may use the device at the same time, to load the next version.
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                answer = compute(packing)
            self._graphs[size] = graph, answer

    def logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor | None:
        """Logits `(texts, labels)` on the CPU, or None if no graph fits."""
        total = sum(map(len, rows))
        if len(rows) > TEXTS or total >= SIZES[-1]:
            return None
        size = SIZES[bisect_right(SIZES, total)]
        empty = TEXTS - len(rows)
        # Empty texts come first: after the other texts, they would start beyond the last token.
        ids, positions, starts = concatenate([*([()] * empty), *rows, (0,) * (size - total)])
        host = torch.cat([ids, positions, starts]).pin_memory()
        with self._lock, torch.inference_mode():
            self._input[: len(host)].copy_(host, non_blocking=True)
            graph, answer = self._graphs[size]
            graph.replay()
            return answer[empty:TEXTS].cpu()

    def _packing(self, size: int, longest: int) -> Packing:
        ids, positions, starts = torch.split(self._input[: 2 * size + TEXTS + 2], [size, size, TEXTS + 2])
        starts.copy_(torch.linspace(0, size, TEXTS + 2).int())
        return Packing(ids, positions, starts, (longest,) + (1,) * TEXTS)
