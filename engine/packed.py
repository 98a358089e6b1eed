"""Attention without padding: the texts of a micro-batch stand in one row, and each attends to itself only.

BERT's other layers treat every token alone, so nothing else has to change; at real ticket lengths (mean 47
tokens, p95 146) a padded batch of 32 computes mostly padding. Registered as transformers' attention `packed`.
"""

from itertools import pairwise
from typing import Any, Final

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

PACKED: Final = "packed"

# Architectures whose head reads the pooled first token and whose attention goes through AttentionInterface.
PACKABLE: Final = frozenset({"BertForSequenceClassification"})


def packed_attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    *,
    scaling: float,
    bounds: list[int],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for each text of a packed row.

    Args:
        query, key, value: `(1, heads, tokens, head size)`.
        bounds: where each text begins, and at the end the number of tokens: `[0, 5, 12]` is two texts.

    Returns:
        `(1, tokens, heads, head size)` as transformers expects it, and no weights.
    """
    if query.is_cuda:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - CUDA only, torch >= 2.10

        q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
        starts = torch.tensor(bounds, dtype=torch.int32, device=query.device)
        longest = max(end - start for start, end in pairwise(bounds))
        attended = varlen_attn(q, k, v, starts, starts, longest, longest, scale=scaling)
        return attended.unsqueeze(0), None  # type: ignore[union-attr]  # a tuple only with return_aux
    out = torch.empty_like(query)
    for start, end in pairwise(bounds):
        one = slice(start, end)
        out[:, :, one] = scaled_dot_product_attention(
            query[:, :, one], key[:, :, one], value[:, :, one], scale=scaling
        )
    return out.transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention keeps texts apart by their bounds; a mask over all pairs would be quadratic in the row."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)


def packed_logits(network: Any, rows: list[list[int]], device: torch.device) -> torch.Tensor:
    """Logits `(texts, labels)` of a BERT classifier that was loaded with `attn_implementation="packed"`."""
    bounds = [0]
    for row in rows:
        bounds.append(bounds[-1] + len(row))
    ids = torch.tensor([[token for row in rows for token in row]], device=device)
    positions = torch.tensor([[place for row in rows for place in range(len(row))]], device=device)
    hidden = network.bert.encoder(
        network.bert.embeddings(input_ids=ids, position_ids=positions), attention_mask=None, bounds=bounds
    ).last_hidden_state
    first = hidden[0, bounds[:-1]].unsqueeze(1)
    logits: torch.Tensor = network.classifier(network.bert.pooler(first))
    return logits
