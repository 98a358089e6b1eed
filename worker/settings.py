"""Settings of `triagem worker`, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triagem.contracts.prediction import Thresholds
from triagem.process import MetricsSettings
from triagem.settings import Settings


class WorkerSettings(Settings, used_by="worker"):
    """Settings of a worker process."""

    engine: str = Field(
        default="triagem.engine.classify:load", description="function that loads a model version, as module:function"
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        description="maximum texts per micro-batch; with a measured token budget, a quarter of"
        " TRIAGEM_WINDOW_MAX unless set",
    )
    batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        default=None,
        description="maximum tokens per micro-batch; auto: measured when a model is loaded, the default on CUDA",
    )
    window_s: float = Field(
        default=0.25, gt=0, description="tickets held locally, in seconds of work at the measured rate"
    )
    window_max: int = Field(
        default=1024, ge=1, description="maximum tickets held locally per lane, and per statement"
    )
    claim_every_s: float = Field(
        default=5.0, gt=0, description="interval between attempts to reclaim entries of dead workers"
    )
    poll_every_s: float = Field(default=1.0, gt=0, description="interval between checks for a pause or a promotion")
    stop_deadline_s: float = Field(
        default=60.0, gt=0, description="time limit of a stop; after it, the process exits at once"
    )
    log_predictions: bool = Field(
        default=False, description="log a line for each prediction, with the original specification's fields"
    )
    heartbeat_file: Path | None = Field(
        default=None, description="file whose age shows whether the worker is alive; read by `triagem worker --check`"
    )
    sample_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of live tickets whose embedding is stored for drift detection; 0: none",
    )
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    review_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="overrides the review threshold of the model version",
        json_schema_extra={"used_by": "worker, `triagem reband`"},
    )
    review_budget: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="overrides the version's review budget, a share of recent tickets",
        json_schema_extra={"used_by": "worker, `triagem reband`"},
    )

    def thresholds(self, manifest: Thresholds) -> Thresholds:
        """A version's thresholds, with overrides from the environment."""
        overrides = {"review": self.review_threshold, "review_budget": self.review_budget}
        return manifest.model_copy(update={name: value for name, value in overrides.items() if value is not None})
