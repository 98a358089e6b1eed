"""Settings of `triagem trainer`, from the environment. Importing this loads no model library."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrainerSettings(BaseSettings):
    """`TRIAGEM_TRAINER_*`: leases, budgets and data of training jobs."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_TRAINER_", env_file=".env", extra="ignore")
    used_by: ClassVar = "trainer"

    data: Path | None = Field(
        default=None,
        description="labelled rows, as for `triagem train`, to which full trainings add the reviews; default: none",
    )
    base: str | None = Field(
        default=None, description="the frozen base of head versions; default: e5 if it is installed, else MiniLM"
    )
    lease_s: float = Field(
        default=60, ge=1, description="a job whose trainer has not answered for this long is taken over"
    )
    poll_every_s: float = Field(default=5, gt=0, description="interval of checks for a requested job")
    max_hours: float = Field(default=12, gt=0, description="a job that takes longer fails")
    max_disk_gb: float = Field(default=20, gt=0, description="a job whose files are larger fails")
