"""The base class of all settings, which are read from environment variables and `.env`."""

from typing import Any, ClassVar

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings whose variables begin with `TRIAGEM_`, or with the `env_prefix` of the class.

    `used_by` names the processes that read them: `class WorkerSettings(Settings, used_by="worker")`.
    """

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")
    used_by: ClassVar[str]

    def __init_subclass__(cls, *, used_by: str, **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.used_by = used_by
