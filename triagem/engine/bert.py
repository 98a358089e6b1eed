"""BERT without padding: the texts of a micro-batch stand in one row, and each attends to itself only.

BERT's other layers treat every token alone, so nothing else has to change; at real ticket lengths (mean 47 tokens,
p95 146) a padded batch of 32 computes mostly padding. It is written out here, not run by transformers' modules:
these start twice as many kernels, and they compute the last layer for all tokens, of which the classifier reads
only each text's first one (a fourteenth of all work).
"""

import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn.functional import embedding, layer_norm, linear

from triagem.engine.linear import Linear, Maker
from triagem.engine.packed import Packing, attend

_ARCHITECTURE: Final = "BertForSequenceClassification"


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return layer_norm(rows, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `project` gives query, key and value; in the last layer query alone, then key and value."""

    project: tuple[Linear, ...]
    attended: Linear
    attended_norm: Norm
    up: Linear
    down: Linear
    norm: Norm

    def __call__(self, rows: torch.Tensor, packing: Packing, heads: int) -> torch.Tensor:
        if len(self.project) == 1:
            query, key, value = self.project[0](rows).chunk(3, dim=-1)
        else:
            key, value = self.project[1](rows).chunk(2, dim=-1)
            rows = rows[packing.first]
            query = self.project[0](rows)
        rows = self.attended_norm(self.attended(attend(query, key, value, packing, heads), rows))
        return self.norm(self.down(self.up(rows), rows))


@dataclass(frozen=True, slots=True)
class PackedBert:
    """A BERT classifier whose activations have the type of `words`."""

    words: torch.Tensor
    places: torch.Tensor  # position and token type together: a ticket is one segment
    norm: Norm
    layers: tuple[Layer, ...]
    pooler: tuple[torch.Tensor, torch.Tensor]
    classifier: tuple[torch.Tensor, torch.Tensor]
    heads: int

    def __call__(self, packing: Packing) -> torch.Tensor:
        """Logits `(texts, labels)`."""
        return linear(self.pooled(packing), *self.classifier)

    def pooled(self, packing: Packing) -> torch.Tensor:
        """What the classifier reads of each text, `(texts, width)`."""
        rows = self.norm(embedding(packing.ids, self.words) + embedding(packing.positions, self.places))
        for layer in self.layers:
            rows = layer(rows, packing, self.heads)
        return torch.tanh(linear(rows, *self.pooler))


def without_residual_biases(network: Any) -> Any:
    """An equal network (fp32) in which what is added to a residual has no bias.

    cuBLAS adds a product onto the residual in place, but then has no room for a bias. So that bias moves into the
    normalisation before, whose rows are the residual, and out again of the products that read these rows:
    6 % at 16k tokens on an H100, 13 % at 8k, where starting kernels counts.
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
    """Whether `packed_bert` computes what this module computes: BERT as it was published, as a classifier."""
    config = network.config
    return type(network).__name__ == _ARCHITECTURE and config.hidden_act == "gelu" and not config.is_decoder


def packed_bert(network: Any, make: Maker, dtype: torch.dtype) -> PackedBert:
    """The classifier of transformers' fp32 module, with products by `make` and everything else in `dtype`."""
    bert = network.bert
    embeddings = bert.embeddings
    layers = list(bert.encoder.layer)

    def norm(module: Any) -> Norm:
        return Norm(module.weight.to(dtype), module.bias.to(dtype), module.eps)

    def product(*modules: Any, activated: bool = False) -> Linear:
        weight = torch.cat([module.weight for module in modules]).to(dtype)
        return make(weight, torch.cat([module.bias for module in modules]).to(dtype), activated=activated)

    def layer_of(layer: Any) -> Layer:
        attention, output = layer.attention.self, layer.attention.output
        key_value = (attention.key, attention.value)
        if layer is layers[-1]:
            project: tuple[Linear, ...] = (product(attention.query), product(*key_value))
        else:
            project = (product(attention.query, *key_value),)
        return Layer(
            project=project,
            attended=product(output.dense),
            attended_norm=norm(output.LayerNorm),
            up=product(layer.intermediate.dense, activated=True),
            down=product(layer.output.dense),
            norm=norm(layer.output.LayerNorm),
        )

    return PackedBert(
        words=embeddings.word_embeddings.weight.to(dtype),
        places=(embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).to(dtype),
        norm=norm(embeddings.LayerNorm),
        layers=tuple(map(layer_of, layers)),
        pooler=(bert.pooler.dense.weight.to(dtype), bert.pooler.dense.bias.to(dtype)),
        classifier=(network.classifier.weight.to(dtype), network.classifier.bias.to(dtype)),
        heads=network.config.num_attention_heads,
    )
