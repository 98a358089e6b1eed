"""Settings of the model registry, from the environment."""

from pathlib import Path

from pydantic import Field

from triagem.settings import Settings


class RegistrySettings(Settings, used_by="gateway, worker, ops, commands"):
    """The registry's location, and the cache for copies from a remote store."""

    registry_url: str = Field(
        default="./models", description="a folder (a path or file://), or a URL that fsspec supports: s3://, gs://, …"
    )
    registry_cache: Path = Field(
        default=Path("~/.cache/triagem/models"),
        description="local copies of a remote registry's versions; may be emptied at any time",
    )
    keep_versions: int = Field(
        default=5,
        ge=1,
        description="newest versions that keep their weights; of older ones, those that are in use",
        json_schema_extra={"used_by": "trainer, `triagem models`"},
    )
    max_cost_ratio: float = Field(
        default=1.1,
        ge=1,
        description="promotion gate: maximum computation per token, as a multiple of the current version's",
        json_schema_extra={"used_by": "gateway, `triagem train`, `triagem models`"},
    )
