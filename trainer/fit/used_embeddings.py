"""Limits a training to the word embeddings that its rows use.

A few hundred rows use some 5,000 of e5's 50,000 word pieces. The others never get a gradient, but the optimizer would
read and write all of them in each step: a sixth of the time at 8 rows a step, and most of a checkpoint.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch


class UsedEmbeddings:
    """Replaces a network's word embeddings by those of the used tokens, until `restore`.

    Args:
        network: a transformers model.
        rows: the token ids of all rows that the network will see.
        padding: the id of the padding token.
    """

    def __init__(self, network: Any, rows: Iterable[Sequence[int]], padding: int) -> None:
        self._network, self._all = network, network.get_input_embeddings()
        # Ids up to that of padding keep their number, so that batches can be padded as usual.
        used = sorted({*range(padding + 1), *(token for row in rows for token in row)})
        self._used = torch.tensor(used)
        self._number = {token: number for number, token in enumerate(used)}
        weight = self._all.weight.detach()[self._used].clone()
        number, width = weight.shape
        network.set_input_embeddings(torch.nn.Embedding(number, width, self._all.padding_idx, _weight=weight))

    def numbers(self, row: Sequence[int]) -> list[int]:
        """The row's token ids as numbers of the used embeddings."""
        return [self._number[token] for token in row]

    def restore(self) -> None:
        """Give the network all its embeddings again, with the trained weights."""
        trained = self._network.get_input_embeddings().weight.detach()
        with torch.no_grad():
            self._all.weight[self._used] = trained.to(self._all.weight.device)
        self._network.set_input_embeddings(self._all)
