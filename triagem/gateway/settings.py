"""The gateway's settings."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.gateway.address import is_loopback


class GatewaySettings(BaseSettings):
    """`TRIAGEM_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_GATEWAY_", env_file=".env", extra="ignore")

    host: str = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=8000, ge=1, le=65535)
    open_predict: bool | None = Field(
        default=None, description="allow /predict without a key; default: only while listening on loopback"
    )
    predict_wait_s: float = Field(
        default=2.0, ge=0, description="how long /predict waits for a result before it answers 202"
    )
    max_body_bytes: int = Field(default=8_388_608, ge=1024, description="a larger request body is refused with 413")
    receive_timeout_s: float = Field(
        default=20.0, gt=0, description="how long receiving a request's head, or its body, may take"
    )
    rate_limit: str = Field(default="1000/second", description="requests per key and process")
    idempotency_s: int = Field(default=86_400, ge=1, description="how long an Idempotency-Key is remembered")
    grace_s: int = Field(default=10, ge=0, description="how long SIGTERM waits for open requests")
    key_cache_s: float = Field(default=10.0, ge=0, description="how long a revoked key may still be accepted")

    @property
    def predict_is_open(self) -> bool:
        """Whether /predict needs no key."""
        return is_loopback(self.host) if self.open_predict is None else self.open_predict


class MetricsSettings(BaseSettings):
    """`TRIAGEM_METRICS_*`, as for workers and ops."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_METRICS_", env_file=".env", extra="ignore")

    port: int = Field(default=0, ge=0, le=65535, description="serve Prometheus metrics on this port; 0: off")
    host: str = "127.0.0.1"
