"""Settings of `triagem worker`, and of `triagem ops` and `triagem beat`, from the environment."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.prediction import Thresholds
from triagem.inbox.url import check_redis_url


class WorkerSettings(BaseSettings):
    """Settings of a worker process."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    broker_url: SecretStr | None = Field(
        default=None, description="Celery's Redis; default: the inbox's server, next database number"
    )
    engine: str = Field(
        default="triagem.engine.classify:load", description="function that loads a model version, as module:function"
    )
    batch_size: int = Field(default=32, ge=1, description="maximum texts per micro-batch")
    batch_tokens: int | None = Field(default=None, ge=1, description="maximum tokens per micro-batch, for large GPUs")
    window_s: float = Field(default=0.25, gt=0, description="tickets held locally, in seconds of the measured rate")
    window_max: int = Field(
        default=1024, ge=1, description="maximum tickets held locally per lane, and per statement"
    )
    bulk_share: float = Field(
        default=0.1, ge=0, le=1, description="share of bulk while live tickets alone would fill the worker"
    )
    claim_every_s: float = Field(default=5.0, gt=0, description="interval of reclaiming entries of dead workers")
    poll_every_s: float = Field(default=1.0, gt=0, description="interval of checks for a pause and for a promotion")
    stop_deadline_s: float = Field(default=60.0, gt=0, description="a worker that cannot stop exits after this time")
    heartbeat_file: Path | None = Field(
        default=None, description="file whose age shows whether the worker is alive; see worker.health"
    )
    sample_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of live tickets whose embedding is stored for drift detection; 0: none",
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port of the Prometheus endpoint; 0: off")
    metrics_host: str = "127.0.0.1"
    review_threshold: float | None = Field(
        default=None, ge=0, le=1, description="overrides the manifest's review threshold"
    )
    review_budget: float | None = Field(
        default=None, ge=0, le=1, description="overrides the manifest's review budget"
    )

    def thresholds(self, manifest: Thresholds) -> Thresholds:
        """A version's thresholds, with overrides from the environment."""
        overrides = {"review": self.review_threshold, "review_budget": self.review_budget}
        return manifest.model_copy(update={name: value for name, value in overrides.items() if value is not None})


_TIME: Final = r"^(([01]\d|2[0-3]):[0-5]\d|[1-9]\d{0,6}s)$"


class OpsSettings(BaseSettings):
    """Settings of the ops tasks. A time is `HH:MM` (daily) or, for example, `90s` (every 90 seconds)."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    timezone: str = Field(default="UTC", description="time zone of the times below")
    drift_at: str = Field(default="03:00", pattern=_TIME, description="drift check")
    training_due_at: str = Field(
        default="03:30",
        pattern=_TIME,
        description="check whether training is due; after drift, whose report it reads",
    )
    predict_retention_s: float = Field(default=3600, ge=60, description="retention of POST /predict texts")
    deliver_every: str = Field(default="5s", pattern=_TIME, description="delivery of results to CRMs")
    alerts_every: str = Field(default="10s", pattern=_TIME, description="delivery of alert messages")
    monitor_every: str = Field(default="60s", pattern=_TIME, description="system health check for system alerts")
    reclassify_at: str = Field(
        default="02:00", pattern=_TIME, description="start of the nightly reclassification run"
    )
    reclassify_every: str = Field(
        default="5s", pattern=_TIME, description="interval in which an active run makes progress"
    )
    beat_schedule: Path | None = Field(
        default=None,
        description="file with the last run times, to catch up on missed tasks after a restart; default: none",
    )
    ops_heartbeat_file: Path | None = Field(
        default=None, description="heartbeat file that `triagem ops --check` reads"
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port of the Prometheus endpoint; 0: off")
    metrics_host: str = "127.0.0.1"

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"{name!r} is not a known time zone; use a name such as America/Sao_Paulo") from None
        return name


def default_broker_url(redis_url: str) -> str:
    """Default broker URL: the inbox's server with the next database number and the same options."""
    parts = urlsplit(check_redis_url(redis_url, "TRIAGEM_REDIS_URL"))
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}"))


def broker_for_celery(broker_url: str) -> str:
    """The broker URL in the form that Celery needs.

    Without options, Celery verifies no certificate for `rediss://`; and it splits a URL at `;` into several servers.
    Raises InvalidInput.
    """
    parts = urlsplit(check_redis_url(broker_url, "TRIAGEM_BROKER_URL"))
    if parts.scheme == "rediss" and "ssl_cert_reqs=" not in parts.query:
        parts = parts._replace(query=f"{parts.query}&ssl_cert_reqs=required".lstrip("&"))
    return parts.geturl().replace(";", "%3B")
