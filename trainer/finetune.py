"""Fine-tune a BERT with the seed document's recipe, on Hugging Face's Trainer; write weights and tokenizer.

Not here: reading data, measuring on the test, the registry. Padded attention: packing is for serving.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_model
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PrinterCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from triagem.engine.classify import EngineSettings
from triagem.trainer.beginning import load_base, load_parent
from triagem.trainer.checkpoints import beats_last, last_whole
from triagem.trainer.data import Row
from triagem.trainer.inherit import Parent
from triagem.trainer.loop import Loop, Report, curves
from triagem.trainer.measures import measure
from triagem.trainer.report import Point, Progress
from triagem.trainer.schedule import Schedule
from triagem.trainer.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a training gives beside the files. `resumed_at` is the step that it went on from after a kill, else 0."""

    max_tokens: int
    curves: tuple[Point, ...]
    resumed_at: int


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
    parent: Parent | None = None,
) -> Tuned:
    """Train on `train`, keep the last checkpoint, or the best on `dev` where it `beats_last`; write it to `folder`.

    The same rows, settings and seed give the same weights on the same machine, also after a kill: a training of them
    goes on from the last whole checkpoint in `checkpoints`. (Not to the bit on MPS, whose random state is not kept.)

    Args:
        parent: go on from this version instead of the settings' base; its labels are the first of `labels`.

    Raises:
        InvalidInput: the base cannot be loaded.
    """
    with _quiet():
        set_seed(settings.seed)  # before the classifier's weights are drawn
        tokenizer, model = load_parent(parent, labels) if parent else load_base(settings.base, labels)
        limit: int = min(settings.max_tokens, tokenizer.model_max_length, model.config.max_position_embeddings)
        limit = min(limit, parent.manifest.max_tokens) if parent else limit
        encode = partial(_encode, tokenizer=tokenizer, labels=labels, limit=limit)
        trainer = Loop(
            weights=_weights(train, labels) if settings.class_weights == "balanced" else None,
            model=model,
            args=training_arguments(settings, schedule, checkpoints),
            train_dataset=encode(train),
            eval_dataset=encode(dev),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=_metrics,
            callbacks=[Report(progress)],
        )
        trainer.remove_callback(PrinterCallback)
        begun = last_whole(checkpoints)
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
        if earlier := _earlier(trainer.state, settings.metric_for_best_model, len(dev)):
            load_model(model, earlier / "model.safetensors", device=str(model.device))
        # Not trainer.save_model: it adds training_args.bin, a pickle, and a version holds no code.
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Tuned(limit, curves(trainer.state.log_history), int(begun.name.partition("-")[2]) if begun else 0)


def training_arguments(settings: TrainSettings, schedule: Schedule, checkpoints: Path) -> TrainingArguments:
    """What Hugging Face's Trainer is told: the settings, fitted to the rows and the device."""
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
        metric_for_best_model=settings.metric_for_best_model,
        greater_is_better=True,
        logging_steps=min(settings.logging_steps, schedule.eval_steps),
        fp16=settings.fp16 and cuda,  # never on MPS or the CPU
        dataloader_num_workers=schedule.workers,
        dataloader_pin_memory=cuda,
        seed=settings.seed,
        use_cpu=on_cpu,
        report_to="none",
        disable_tqdm=True,
    )


def _earlier(state: TrainerState, metric: str, rows: int) -> Path | None:
    """The best checkpoint on dev, if it is to be kept instead of the last one."""
    *_, last = (entry[f"eval_{metric}"] for entry in state.log_history if f"eval_{metric}" in entry)
    if state.best_model_checkpoint is None or not beats_last(float(state.best_metric or 0.0), last, rows):
        return None
    return Path(state.best_model_checkpoint)


def _weights(rows: Sequence[Row], labels: Sequence[str]) -> torch.Tensor:
    """A weight for each label: its rows together weigh as much as those of any other, a row 1 on average."""
    count = Counter(row.label for row in rows)
    return torch.tensor([len(rows) / len(labels) / max(1, count[label]) for label in labels])


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
