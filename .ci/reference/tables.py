"""Parts of the generated sections: Markdown tables, paragraphs, and a list of what has no description."""

import re

missing: list[str] = []


def required(text: str | None, thing: str) -> str:
    """A description in one line, for a table. Notes its absence."""
    if not (text or "").strip():
        missing.append(f"{thing} has no description")
    return " ".join((text or "").replace("|", r"\|").split())


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    head, *body = (f"| {' | '.join(line)} |\n" for line in (columns, *rows))
    return "".join([head, "|" + "---|" * len(columns) + "\n", *body])


def paragraphs(text: str | None) -> str:
    """The paragraphs of a docstring, each in one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", (text or "").strip()))
