"""The reviewers' guidelines: a Markdown file, shown next to the text. HTML in it is shown as it is written."""

from pathlib import Path
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from markdown_it import MarkdownIt
from markupsafe import Markup
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


class ReviewSettings(BaseSettings):
    """Settings of the review page."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")
    used_by: ClassVar = "gateway"

    guidelines_file: Path | None = Field(default=None, description="Markdown that reviewers see next to a text")
    timezone: Annotated[str, AfterValidator(lambda name: ZoneInfo(name).key)] = Field(
        default="UTC", description="the reviewers' time zone, whose day is today"
    )


def read_guidelines(path: Path | None) -> Markup | None:
    """The guidelines as HTML; None without a file, and the problem if it cannot be read."""
    if path is None:
        return None
    try:
        return Markup(_MARKDOWN.render(path.read_text(encoding="utf-8")))  # noqa: S704 - escapes HTML, bad links
    except (OSError, UnicodeDecodeError) as error:
        return Markup("<p>TRIAGEM_GUIDELINES_FILE: {}: {}</p>").format(path.name, type(error).__name__)
