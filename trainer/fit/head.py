"""The classifier head of a network: its start from frozen embeddings, and its growth by labels."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from sklearn.linear_model import LogisticRegression

INVERSE_PENALTY: Final = 0.01  # strong, because an embedding has about as many dimensions as there are rows
_BATCH: Final = 32
_POOLER_SCALE: Final = 0.5  # standard deviation before tanh, most of whose input is then nearly linear


def last_states(network: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Any, Any]]:
    """The encoder's last layer in batches of similar length: indices of `rows`, states and attention mask."""
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(rows), _BATCH):
        batch = by_length[start : start + _BATCH]
        inputs = tokenizer.pad({"input_ids": [rows[index] for index in batch]}, return_tensors="pt")
        inputs = inputs.to(network.device)
        yield batch, network.base_model(**inputs).last_hidden_state.float(), inputs["attention_mask"]


@torch.inference_mode()
def start_head(
    network: Any, tokenizer: Any, rows: Sequence[Sequence[int]], truth: Sequence[int], *, bf16: bool
) -> None:
    """Start the head of a BERT classifier whose base has no pooler, from a linear classifier on the frozen encoder.

    The pooler standardises the first token's states. A random pooler would distort the encoder until the head has
    learned the labels (Kumar et al. 2022, arXiv:2202.10054): docs/explanation/model-quality.md has figures. A label
    without rows keeps its random start.

    Args:
        network: transformers' `BertForSequenceClassification`.
        rows: the token ids of the training rows.
        truth: the label index of each row; at least two labels.
    """
    pooler, classifier = network.bert.pooler.dense, network.classifier
    first = torch.empty(len(rows), network.config.hidden_size, device=network.device)
    with torch.autocast(network.device.type, torch.bfloat16, enabled=bf16):
        for batch, states, _ in last_states(network.eval(), tokenizer, rows):
            first[batch] = states[:, 0]
    scale = _POOLER_SCALE / first.std(0).clamp_min(1e-6)
    pooler.weight.copy_(torch.diag(scale))
    pooler.bias.copy_(-first.mean(0) * scale)
    pooled = torch.tanh(pooler(first))
    mean, deviation = pooled.mean(0), pooled.std(0, correction=0).clamp_min(1e-6)
    linear = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(((pooled - mean) / deviation).cpu(), truth)
    weight, bias = (torch.tensor(values).to(classifier.weight) for values in (linear.coef_, linear.intercept_))
    if len(linear.classes_) == 2:  # one row of coefficients, of the second label
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    classifier.weight[linear.classes_] = weight / deviation
    classifier.bias[linear.classes_] = bias - weight @ (mean / deviation)


def grow_head(network: Any, labels: Sequence[str]) -> None:
    """Extend the classifier to one output per label. New outputs come last; existing outputs keep their weights.

    Args:
        network: a transformers model for sequence classification; its labels are the first of `labels`.
    """
    outputs = network.config.num_labels
    if outputs != len(labels):
        name, old = [
            (name, module)
            for name, module in network.named_modules()
            if isinstance(module, torch.nn.Linear) and module.out_features == outputs
        ][-1]
        new = torch.nn.Linear(old.in_features, len(labels), bias=old.bias is not None)
        network._init_weights(new)  # noqa: SLF001 - the architecture's own initialisation
        with torch.no_grad():
            new.weight[:outputs] = old.weight
            if old.bias is not None:
                new.bias[:outputs] = old.bias
        network.set_submodule(name, new)
        network.num_labels = len(labels)
    network.config.id2label = dict(enumerate(labels))
    network.config.label2id = {label: number for number, label in enumerate(labels)}
