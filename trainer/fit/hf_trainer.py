"""Extends Hugging Face's Trainer: row order, loss, used embeddings, progress reports, small checkpoints.

`triagem.trainer.fit.finetune` and `triagem.trainer.fit.schedule` set its arguments.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from triagem.contracts.assessment import CurvePoint
from triagem.trainer.evaluate.report import TrainingProgress
from triagem.trainer.fit.checkpoints import drop_old_optimizer_states
from triagem.trainer.fit.schedule import epoch_order


class SpecificationTrainer(Trainer):
    """Hugging Face's Trainer with batches of similar length, and optionally label weights and label smoothing."""

    def __init__(self, *, weights: torch.Tensor | None, smoothing: float = 0.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._weights, self._smoothing = weights, smoothing
        # transformers 5 assumes that a model with **kwargs divides its loss by all rows of a step. BERT's classifier
        # does not: by default, accumulating over 4 batches would make the gradient 4 times too large.
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> "EpochSampler":
        rows: Any = train_dataset or self.train_dataset
        return EpochSampler([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self._weights is not None or self._smoothing:
            truth = inputs["labels"]
            losses = torch.nn.functional.cross_entropy(
                outputs["logits"].float(), truth, reduction="none", label_smoothing=self._smoothing
            )
            # Not torch's weighted mean, which divides by the sum of the batch's weights: eight rows of a single label
            # would then weigh as much as eight rows of both labels.
            weights = 1 if self._weights is None else self._weights.to(losses.device)[truth]
            loss = (losses * weights).mean()
        return (loss, outputs) if return_outputs else loss


class EpochSampler(Sampler[int]):
    """The order of the rows. It depends only on seed and epoch, so a resumed training skips finished batches."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch, also before a resumed epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._lengths, self._batch_size, seed=self._seed, epoch=self._epoch))

    def __len__(self) -> int:
        return len(self._lengths)


@dataclass
class ProgressCallback(TrainerCallback):
    """Reports the Trainer's steps and keeps its checkpoints small.

    Earlier trainings made `before` of the `total` steps.
    """

    progress: TrainingProgress
    before: int
    total: int
    loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step:
            self.progress.on_step(self.before + state.global_step, self.total, None)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.loss = kwargs["logs"].get("loss", self.loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        # checkpoints do not hold the running mean of the loss, so restart it at each checkpoint
        if control.should_save:
            control.should_log = True
        self.progress.on_step(self.before + state.global_step, self.total, self.loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        metric = args.metric_for_best_model
        value = kwargs["metrics"][f"eval_{metric}"]
        self.progress.on_evaluation(self.before + state.global_step, self.total, metric, value)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        drop_old_optimizer_states(Path(args.output_dir))


def training_curves(history: Sequence[Mapping[str, Any]]) -> tuple[CurvePoint, ...]:
    """The Trainer's log as points, one for each step with a logged value."""
    points: dict[int, dict[str, Any]] = {}
    for entry in history:  # the Trainer's last entry, a summary, has none of these values
        point = points.setdefault(entry["step"], {})
        for name, logged_name in (
            ("loss", "loss"),
            ("learning_rate", "learning_rate"),
            ("dev_accuracy", "eval_accuracy"),
        ):
            if logged_name in entry:
                point[name] = float(entry[logged_name])
    empty = {"loss": None, "learning_rate": None, "dev_accuracy": None}
    return tuple(CurvePoint(step, **(empty | point)) for step, point in sorted(points.items()))


class UsedEmbeddings:
    """Replaces a network's word embeddings by those of the used tokens, until `restore`.

    A few hundred rows use some 5,000 of e5's 50,000 word pieces. The other embeddings never get a gradient, but the
    optimizer would read and write them in each step. That would take a sixth of the time at 8 rows a step, and most
    of the size of a checkpoint.

    Args:
        network: a transformers model.
        rows: the token ids of all rows that the network will see.
        padding: the id of the padding token.
    """

    def __init__(self, network: Any, rows: Iterable[Sequence[int]], padding: int) -> None:
        self._network, self._all = network, network.get_input_embeddings()
        # Ids up to the padding id keep their number, so that batches can be padded as usual.
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
