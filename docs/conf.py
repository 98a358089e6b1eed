"""Sphinx builds the documentation from the same Markdown that is readable on its own: `make docs`."""

import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent

project = "Triagem"
author = "the Triagem authors"
copyright = author  # noqa: A001 - Sphinx's name
html_title = "Triagem"
html_theme = "furo"
extensions = ["myst_parser"]
# The source folder is the repository: pages link to README.md, examples/ and deploy/.
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "README.pt-BR.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "examples/**",
]
exclude_patterns = ["docs/measurements"]
myst_heading_anchors = 4
myst_heading_slug_func = "github"
suppress_warnings = ["misc.highlighting_failure"]  # a diagram in `mermaid` is shown as text


def add_contents(_app: Any, page: str, source: list[str]) -> None:
    """Give Sphinx the order of the pages: the links below each heading of the start page, as a hidden list."""
    if page != root_doc:
        return
    for heading, links in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", source[0], re.MULTILINE | re.DOTALL):
        pages = dict.fromkeys(re.findall(r"\]\(([\w./-]+\.md)\)", links))
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n" + "\n".join(pages) + "\n```\n"


def setup(app: Any) -> None:
    """Sphinx calls this at the start."""
    app.connect("source-read", add_contents)
