"""What is ours inside Hugging Face's Trainer: the order of rows, the weight of labels, what is told and kept.

Not here: how long and how fast it learns (`triagem.trainer.finetune`, `triagem.trainer.schedule`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback

from triagem.trainer.checkpoints import thin_out
from triagem.trainer.report import Point, Progress
from triagem.trainer.schedule import epoch_order


class Loop(Trainer):
    """Hugging Face's, with rows in an order of ours, and label weights where they are wanted."""

    def __init__(self, *, weights: torch.Tensor | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._weights = weights
        # transformers 5 takes any model with **kwargs for one that divides its loss by all rows of a step.
        # BERT's classifier does not: left alone, accumulating over 4 batches makes the gradient 4 times too long.
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> "Epochs":
        rows: Any = train_dataset or self.train_dataset
        return Epochs([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self._weights is not None:
            truth = inputs["labels"]
            # Not torch's weighted mean: it divides by the weights of the batch, where eight rows of one label
            # would weigh as much as eight of both.
            each = torch.nn.functional.cross_entropy(outputs["logits"].float(), truth, reduction="none")
            loss = (each * self._weights.to(each.device)[truth]).mean()
        return (loss, outputs) if return_outputs else loss


class Epochs(Sampler[int]):
    """The order of the rows, of seed and epoch alone: a training that goes on skips the batches that it has seen."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch, also before one that it goes on with."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._lengths, self._batch_size, seed=self._seed, epoch=self._epoch))

    def __len__(self) -> int:
        return len(self._lengths)


@dataclass
class Report(TrainerCallback):
    """Hands the Trainer's steps on, and keeps its checkpoints small."""

    progress: Progress
    loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step:
            self.progress.on_step(state.global_step, state.max_steps, None)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.loss = kwargs["logs"].get("loss", self.loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if control.should_save:  # the running mean of the loss is in no checkpoint: begin anew at each
            control.should_log = True
        self.progress.on_step(state.global_step, state.max_steps, self.loss)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        thin_out(Path(args.output_dir))


def curves(history: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    """The Trainer's log as points, one a step that says something."""
    known: dict[int, dict[str, Any]] = {}
    for entry in history:  # the Trainer's last entry, a summary, has none of these
        point = known.setdefault(entry["step"], {})
        for ours, theirs in (("loss", "loss"), ("learning_rate", "learning_rate"), ("dev_accuracy", "eval_accuracy")):
            if theirs in entry:
                point[ours] = float(entry[theirs])
    empty = {"loss": None, "learning_rate": None, "dev_accuracy": None}
    return tuple(Point(step, **(empty | point)) for step, point in sorted(known.items()))
