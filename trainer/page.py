"""An assessment as one HTML file: no script, nothing fetched, light and dark, readable on a phone."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from triagem.contracts.model import Manifest
from triagem.trainer.charts import FRAME, charts
from triagem.trainer.reading import NAMES, figure
from triagem.trainer.report import Assessment

MOST_MISTAKES: Final = 100  # on the page; report.json has all
MOST_TEXT: Final = 280


def page(assessment: Assessment, manifest: Manifest) -> str:
    """The report's page. Whatever a text or a label holds shows as text."""
    # Only what is escaped by itself is in the template: no `|safe`.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": figure, "short": _short}
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(
        report=assessment,
        manifest=manifest,
        names=NAMES,
        charts=charts(assessment),
        frame=FRAME,
        most_mistakes=MOST_MISTAKES,
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
