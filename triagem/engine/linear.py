"""BERT's matrix products, each by the fastest kernel that torch ships for the device and the precision.

A maker turns a layer's fp32 weights into a product, once, at load. Figures: bert-base shapes, 16k tokens on an H100,
1.5k tokens on two cores with AVX512-BF16.
"""

from typing import Any, Final, Protocol

import torch
from torch.nn.functional import gelu, linear

ROWS: Final = 1536  # a micro-batch of 32 at a mean of 47 tokens: oneDNN chooses a layout for about this many


class Linear(Protocol):
    """Rows of tokens through one product; `residual`, if given, is added, and may be written over."""

    def __call__(self, rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor: ...


class Maker(Protocol):
    """Makes one product of weights `(out, in)` and a bias; `activated` adds GELU behind it."""

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear: ...


def plain(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """torch's own product: the reference, and what runs where nothing better is known."""

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        product = linear(rows, weight, bias)
        if activated:
            product = gelu(product)
        return product if residual is None else product.add_(residual)

    return run


def cuda_half(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """cuBLAS with GELU inside the product (its tanh form): 0.145 ms instead of 0.229 with a GELU of its own.

    For half precision only: there the tanh form's error disappears in rounding, in fp32 it would be 1e-3. For
    networks `without_residual_biases` only: a residual is added to in place, and the bias is taken to be zero.
    """
    transposed = weight.t()

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if residual is not None:
            return residual.addmm_(rows, transposed)
        if activated:
            return torch._addmm_activation(bias, rows, transposed, use_gelu=True)  # noqa: SLF001 - no public name
        return linear(rows, weight, bias)

    return run


def onednn(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """oneDNN on the CPU: weights laid out once (323 instead of 278 GFLOP/s in bf16), GELU and residual inside."""
    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, ROWS)  # noqa: SLF001
    activation = "gelu" if activated else "none"

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        answer: torch.Tensor
        if residual is None:
            answer = ops._linear_pointwise(rows, packed, bias, activation, [], "none")  # noqa: SLF001
        else:
            answer = ops._linear_pointwise.binary(rows, residual, packed, bias, "add")  # noqa: SLF001
        return answer

    return run
