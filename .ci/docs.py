"""Checks of `make lint` on the documentation: links and headings exist, and README.md keeps its limits."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

TEXT: Final = frozenset({".py", ".md", ".toml", ".yml", ".yaml", ".html", ".sql", ".lua", ".sh"})
FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
LINK: Final = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]+)?\)")
# A page that code, a test or an alert names, possibly with a heading: docs/how-to/runbook.md#triagemdrift
MENTION: Final = re.compile(r"(?<![\w/.])(docs/[\w/-]+\.md)(#[\w-]+)?")


def tracked() -> list[Path]:
    """All tracked and new files with text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files = map(Path, filter(None, listed.split("\0")))
    return [file for file in files if file.suffix in TEXT and file.is_file() and not file.is_symlink()]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return frozenset("#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain)


def broken_target(page: Path, anchor: str) -> str | None:
    """The problem with a link's target, if any."""
    if not page.exists():
        return "does not exist"
    if anchor and page.suffix == ".md" and anchor not in anchors(page):
        return f"has no heading {anchor}"
    return None


def broken_links(file: Path, text: str) -> Iterator[str]:
    """Links of a page, and mentions of pages in any file, whose target does not exist."""
    targets = [(Path(path), anchor) for path, anchor in MENTION.findall(text)]
    if file.suffix == ".md":
        for path, anchor in LINK.findall(FENCE.sub("", text)):
            targets.append(((file.parent / path).resolve().relative_to(Path.cwd()) if path else file, anchor))
    for target, anchor in dict.fromkeys(targets):
        if problem := broken_target(target, anchor):
            yield f"{file}: {target}{anchor} {problem}"


def readme_limits(readme: str) -> Iterator[str]:
    """README.md: at most 600 words before "How it works", 150 lines in all."""
    start = COMMENT.sub("", readme).partition("\n## How it works")[0]
    if (words := len(start.split())) > 600:
        yield f'README.md: {words} words before "How it works", the limit is 600: move some to docs/'
    if (lines := readme.count("\n")) > 150:
        yield f"README.md: {lines} lines, the limit is 150: move some to docs/"


def findings() -> Iterator[str]:
    """Everything wrong in the documentation."""
    yield from readme_limits(Path("README.md").read_text(encoding="utf-8"))
    for file in tracked():
        yield from broken_links(file, file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    wrong = list(findings())
    print("\n".join(wrong) or "docs: nothing found")
    sys.exit(bool(wrong))
