"""Renders an assessment as one HTML file: no script, no external resources, light and dark, responsive."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from triagem.contracts.model import Manifest
from triagem.trainer.charts import FRAME, charts
from triagem.trainer.interpretation import METRIC_NAMES, format_estimate
from triagem.trainer.report import Assessment

MAX_MISTAKES: Final = 100  # in the HTML report; report.json has all
MAX_TEXT: Final = 280


def render_html(assessment: Assessment, manifest: Manifest) -> str:
    """The HTML report. Texts and labels are escaped."""
    # Autoescaping covers the whole template: no `|safe`.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"estimate": format_estimate, "truncated": _truncated}
    template = environment.from_string(Path(__file__).with_name("html_report.html").read_text(encoding="utf-8"))
    return template.render(
        report=assessment,
        manifest=manifest,
        names=METRIC_NAMES,
        charts=charts(assessment),
        frame=FRAME,
        max_mistakes=MAX_MISTAKES,
    )


def _truncated(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
