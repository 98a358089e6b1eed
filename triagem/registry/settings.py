"""Registry settings from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistrySettings(BaseSettings):
    """The registry's location, and the cache for copies from a remote store."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    registry_url: str = Field(
        default="./models", description="a folder, as a path or file://, or a URL that fsspec knows: s3://, gs://, …"
    )
    registry_cache: Path = Field(
        default=Path("~/.cache/triagem/models"), description="for a remote registry; may be emptied at any time"
    )
