"""BERT without padding: packs the texts of a micro-batch into one row; each text attends only to itself.

BERT's other layers treat every token separately, so nothing else has to change; at real ticket lengths (mean 47
tokens, p95 146) a padded batch of 32 computes mostly padding. The layers are implemented here because transformers'
modules launch twice as many kernels. They also compute the last layer for all tokens (a fourteenth of all work),
although the classifier reads only the first token of each text.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import torch
from torch.nn.functional import embedding, layer_norm, linear

from triagem.contracts.model import Pooling
from triagem.engine.packed import Packing, attend

ROWS: Final = 1536  # a micro-batch of 32 with a mean of 47 tokens; oneDNN chooses a layout for about this number


class Linear(Protocol):
    """Applies one matrix product to rows of tokens; adds `residual`, if given, and may overwrite `residual`."""

    def __call__(self, rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor: ...


class LinearFactory(Protocol):
    """Makes one product from weights `(out, in)` and a bias; `activated` applies GELU to the result."""

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear: ...


def torch_linear(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """torch's default product: the reference, and on an x86 CPU without AVX-512 the fastest (MKL)."""

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        product = linear(rows, weight, bias)
        if activated:
            product = torch.ops.aten.gelu_(product)
        return product if residual is None else product.add_(residual)

    return run


def cublas_half(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """cuBLAS with fused GELU (its tanh form): 0.145 ms instead of 0.229 with a separate GELU.

    Use it only in half precision, where the error of the tanh form is below rounding; in fp32 it would be 1e-3. Use
    it only for networks `without_residual_biases`: the product is added to the residual in place, and the bias is
    assumed to be zero.
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
    """oneDNN on the CPU: weights reordered once (323 instead of 278 GFLOP/s in bf16), fused GELU and residual.

    Without AVX-512, its GELU takes a third of the time of its product, and MKL is faster even without GELU.
    """
    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, ROWS)  # noqa: SLF001
    activation = "gelu" if activated else "none"

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        product: torch.Tensor
        if residual is None:
            product = ops._linear_pointwise(rows, packed, bias, activation, [], "none")  # noqa: SLF001
        else:
            product = ops._linear_pointwise.binary(rows, residual, packed, bias, "add")  # noqa: SLF001
        return product

    return run


_ARCHITECTURE: Final = "BertForSequenceClassification"


Norm = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """One layer. `projections`: one product for query, key and value.

    A layer for first tokens only has two products: one for the query, and one for key and value.
    """

    projections: tuple[Linear, ...]
    attention_output: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm

    def __call__(self, rows: torch.Tensor, packing: Packing, heads: int) -> torch.Tensor:
        if len(self.projections) == 1:
            query, key, value = self.projections[0](rows).chunk(3, dim=-1)
        else:
            key, value = self.projections[1](rows).chunk(2, dim=-1)
            rows = rows[packing.first]
            query = self.projections[0](rows)
        rows = self.attention_norm(self.attention_output(attend(query, key, value, packing, heads), rows))
        return self.norm(self.down(self.up(rows), rows))


@dataclass(frozen=True, slots=True)
class PackedBert:
    """A BERT classifier whose activations have the type of `word_embeddings`.

    `pooler` is None for a classifier of the tokens' mean. In that case, mean and classifier are in fp32: the means of
    a frozen encoder differ by little more than bf16's rounding.
    """

    word_embeddings: torch.Tensor
    position_embeddings: torch.Tensor  # position and token type together: a ticket is one segment
    norm: Norm
    layers: tuple[EncoderLayer, ...]
    pooler: tuple[torch.Tensor, torch.Tensor] | None
    classifier: tuple[torch.Tensor, torch.Tensor]
    heads: int

    def __call__(self, packing: Packing) -> torch.Tensor:
        """Logits `(texts, labels)`."""
        return linear(self.pooled(packing), *self.classifier)

    def pooled(self, packing: Packing) -> torch.Tensor:
        """The classifier's input for each text, `(texts, width)`."""
        rows = self.norm(
            embedding(packing.ids, self.word_embeddings) + embedding(packing.positions, self.position_embeddings)
        )
        for layer in self.layers:
            rows = layer(rows, packing, self.heads)
        if self.pooler is None:
            return packing.means(rows)
        return torch.tanh(linear(rows, *self.pooler))


def without_residual_biases(network: Any) -> Any:
    """Convert to an equivalent fp32 network in which products that are added to a residual have no bias.

    cuBLAS can add a product to the residual in place, but not a bias as well. So the bias moves into the preceding
    normalisation, whose output is the residual. The products that read this output subtract the bias again. This
    saves 6 % at 16k tokens on an H100, and 13 % at 8k, where kernel launches matter.
    """
    network = copy.deepcopy(network)

    def move(source: Any, norm: Any, readers: tuple[Any, ...]) -> None:
        for reader in readers:
            reader.bias -= reader.weight @ source.bias
        norm.bias += source.bias
        source.bias.zero_()

    before = network.bert.embeddings.LayerNorm
    for layer in network.bert.encoder.layer:
        attention, output = layer.attention.self, layer.attention.output
        move(output.dense, before, (attention.query, attention.key, attention.value))
        move(layer.output.dense, output.LayerNorm, (layer.intermediate.dense,))
        before = layer.output.LayerNorm
    return network


def packable(network: Any) -> bool:
    """Whether `packed_bert` is equivalent to this module: the published BERT architecture, as a classifier."""
    config = network.config
    return type(network).__name__ == _ARCHITECTURE and config.hidden_act == "gelu" and not config.is_decoder


def packed_bert(network: Any, make: LinearFactory, dtype: torch.dtype, pooling: Pooling = "first") -> PackedBert:
    """Convert transformers' fp32 classifier: `make` builds the products, everything else is in `dtype`."""
    first = pooling == "first"
    bert = network.bert
    embeddings = bert.embeddings
    layers = list(bert.encoder.layer)
    head_dtype = dtype if first else torch.float32

    def norm(module: Any) -> Norm:
        weight, bias = module.weight.to(dtype), module.bias.to(dtype)
        return partial(layer_norm, normalized_shape=weight.shape, weight=weight, bias=bias, eps=module.eps)

    def product(*modules: Any, activated: bool = False) -> Linear:
        weight = torch.cat([module.weight for module in modules]).to(dtype)
        return make(weight, torch.cat([module.bias for module in modules]).to(dtype), activated=activated)

    def layer_of(layer: Any) -> EncoderLayer:
        attention, output = layer.attention.self, layer.attention.output
        key_value = (attention.key, attention.value)
        if first and layer is layers[-1]:
            projections: tuple[Linear, ...] = (product(attention.query), product(*key_value))
        else:
            projections = (product(attention.query, *key_value),)
        return EncoderLayer(
            projections=projections,
            attention_output=product(output.dense),
            attention_norm=norm(output.LayerNorm),
            up=product(layer.intermediate.dense, activated=True),
            down=product(layer.output.dense),
            norm=norm(layer.output.LayerNorm),
        )

    return PackedBert(
        word_embeddings=embeddings.word_embeddings.weight.to(dtype),
        position_embeddings=(embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).to(
            dtype
        ),
        norm=norm(embeddings.LayerNorm),
        layers=tuple(map(layer_of, layers)),
        pooler=(bert.pooler.dense.weight.to(dtype), bert.pooler.dense.bias.to(dtype)) if first else None,
        classifier=(network.classifier.weight.to(head_dtype), network.classifier.bias.to(head_dtype)),
        heads=network.config.num_attention_heads,
    )
