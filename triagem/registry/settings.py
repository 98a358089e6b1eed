"""The registry's slice of the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistrySettings(BaseSettings):
    """Where model versions lie, and where copies of those from a remote store are kept."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    registry_url: str = Field(
        default="./models", description="a folder, as a path or file://, or a URL that fsspec knows: s3://, gs://, …"
    )
    registry_cache: Path = Field(
        default=Path("~/.cache/triagem/models"), description="for a remote registry; may be emptied at any time"
    )
