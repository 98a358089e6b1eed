"""Writes the generated sections of docs/reference from the code. They stand between two comments of a page.

python .ci/reference             # write them
python .ci/reference --check     # a check of `make lint`: report stale sections, and things without a description
"""

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path.cwd()))

from commands import commands_section
from entities import entities_section
from http_api import http_section
from metrics import metrics_section
from settings import settings_section, unknown_mentions
from tables import missing
from views import views_section

from bench.__main__ import bench
from triagem.cli.main import application
from triagem.db.schema import metadata
from triagem.gateway import metrics as gateway_metrics
from triagem.ops import metrics as ops_metrics
from triagem.worker import metrics as worker_metrics

FOLDER: Final = Path("docs/reference")
SECTIONS: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "commands.md": {
        "triagem": partial(commands_section, application(), "triagem"),
        "bench": partial(commands_section, bench, "python -m bench"),
    },
    "settings.md": {"settings": settings_section},
    "sql.md": {"views": views_section},
    "http-api.md": {"http": http_section},
    "schema.md": {"tables": partial(entities_section, metadata)},
    "metrics.md": {
        "worker": partial(metrics_section, worker_metrics),
        "ops": partial(metrics_section, ops_metrics),
        "gateway": partial(metrics_section, gateway_metrics),
    },
}


def renewed(page: str, name: str, section: str) -> str:
    """The page with its section replaced."""
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    text, count = re.subn(f"{begin}.*?{end}", lambda _: begin + section + end, page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"expected one section between {begin!r} and {end!r}, found {count}")
    return text


def main(*, check: bool) -> list[str]:
    """Write the sections, or with `check` report stale pages. Returns what is wrong."""
    stale = []
    for name, sections in SECTIONS.items():
        file = FOLDER / name
        page = before = file.read_text(encoding="utf-8")
        for section, make in sections.items():
            page = renewed(page, section, make())
        if page != before and check:
            stale.append(f"{file} is stale: run `make reference`")
        elif page != before:
            file.write_text(page, encoding="utf-8")
    return [*stale, *missing, *unknown_mentions()]


if __name__ == "__main__":
    problems = main(check="--check" in sys.argv[1:])
    print("\n".join(problems) or "reference: nothing found")
    sys.exit(bool(problems))
