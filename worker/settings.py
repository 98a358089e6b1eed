"""The slices of the environment of `triagem worker`, and of `triagem ops` and `triagem beat`."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.prediction import Thresholds
from triagem.inbox.url import checked


class WorkerSettings(BaseSettings):
    """How a worker process takes, classifies and stores."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    broker_url: SecretStr | None = Field(
        default=None, description="Celery's Redis; default: the inbox's, next database"
    )
    engine: str = Field(
        default="triagem.engine.classify:load", description="what loads a model version: module:function"
    )
    batch_size: int = Field(default=32, ge=1, description="most texts in a micro-batch")
    batch_tokens: int | None = Field(default=None, ge=1, description="most tokens in a micro-batch, for large GPUs")
    window_s: float = Field(default=0.25, gt=0, description="tickets held locally, as seconds of the measured rate")
    window_max: int = Field(default=1024, ge=1, description="most tickets held locally of a lane, and in a statement")
    bulk_share: float = Field(default=0.1, ge=0, le=1, description="what bulk gets while live alone fills the worker")
    claim_every_s: float = Field(default=5.0, gt=0, description="how often to look for what dead workers left")
    look_every_s: float = Field(default=1.0, gt=0, description="how often to look whether paused, and at `current`")
    stop_deadline_s: float = Field(default=60.0, gt=0, description="a worker that cannot stop ends itself after this")
    heartbeat_file: Path | None = Field(
        default=None, description="its age is the worker's liveness; see worker.health"
    )
    sample_share: float = Field(
        default=0.01, ge=0, le=1, description="live tickets whose embedding is kept, to notice drift; 0: none"
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Prometheus on this port; 0: none")
    metrics_host: str = "127.0.0.1"
    review_under: float | None = Field(default=None, ge=0, le=1, description="overrides the manifest's threshold")
    review_budget: float | None = Field(default=None, ge=0, le=1, description="overrides the manifest's budget")

    def thresholds(self, of_model: Thresholds) -> Thresholds:
        """A version's thresholds with what the environment overrides."""
        overrides = {"review": self.review_under, "review_budget": self.review_budget}
        return of_model.model_copy(update={name: value for name, value in overrides.items() if value is not None})


_TIME: Final = r"^(([01]\d|2[0-3]):[0-5]\d|[1-9]\d{0,6}s)$"


class OpsSettings(BaseSettings):
    """What is done beside the pipe, and when. A time is `HH:MM`, daily, or `90s`: all so many seconds."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    timezone: str = Field(default="UTC", description="of the times below")
    drift_at: str = Field(default="03:00", pattern=_TIME)
    due_at: str = Field(default="03:30", pattern=_TIME, description="later than drift: it reads the newest report")
    predict_kept_s: float = Field(default=3600, ge=60, description="how long texts of POST /predict are kept")
    deliver_at: str = Field(default="5s", pattern=_TIME, description="results back to CRMs")
    alerts_at: str = Field(default="10s", pattern=_TIME, description="messages about alerts to people")
    watch_at: str = Field(default="60s", pattern=_TIME, description="window alerts: is the system well")
    reclassify_at: str = Field(default="02:00", pattern=_TIME, description="the nightly run over stored tickets")
    reclassify_every: str = Field(default="5s", pattern=_TIME, description="how often an active run gets a turn")
    beat_schedule: Path | None = Field(
        default=None,
        description="where beat notes what ran when, to do after a restart what it missed; default: nowhere",
    )
    ops_heartbeat_file: Path | None = Field(default=None, description="what `triagem ops --check` reads")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Prometheus on this port; 0: none")
    metrics_host: str = "127.0.0.1"

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"{name!r} is no time zone, expected one like America/Sao_Paulo") from None
        return name


def broker_beside(redis_url: str) -> str:
    """The broker's default: the inbox's server, next database, with the same options."""
    parts = urlsplit(checked(redis_url, "TRIAGEM_REDIS_URL"))
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}"))


def broker_for_celery(broker_url: str) -> str:
    """The broker's URL as Celery must have it.

    Of `rediss://` without options Celery verifies no certificate, and at a `;` it cuts a list of servers.
    Raises InvalidInput.
    """
    parts = urlsplit(checked(broker_url, "TRIAGEM_BROKER_URL"))
    if parts.scheme == "rediss" and "ssl_cert_reqs=" not in parts.query:
        parts = parts._replace(query=f"{parts.query}&ssl_cert_reqs=required".lstrip("&"))
    return parts.geturl().replace(";", "%3B")
