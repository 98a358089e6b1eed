"""A folder of an application whose own packages have the names of Triagem's packages."""

from pathlib import Path
from typing import Final

NAMES: Final = ("alerts", "cli", "contracts", "db", "engine", "gateway", "inbox", "producer", "trainer", "worker")


def add_namesakes(folder: Path) -> Path:
    """Create packages in `folder` that raise when they are imported. No code of Triagem may import them."""
    for name in NAMES:
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f'raise RuntimeError("{name} of the application")\n', encoding="utf-8")
    return folder
