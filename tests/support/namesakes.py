"""A folder of an application whose own packages have the names of ours."""

from pathlib import Path
from typing import Final

NAMES: Final = ("alerts", "cli", "contracts", "db", "engine", "gateway", "inbox", "producer", "trainer", "worker")


def add_namesakes(folder: Path) -> Path:
    """Packages in `folder` that raise when they are imported: nothing of Triagem may take them for its own."""
    for name in NAMES:
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'raise RuntimeError("{name} of the application")\n', encoding="utf-8")
    return folder
