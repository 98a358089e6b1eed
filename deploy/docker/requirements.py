"""Print what pyproject.toml requires, with the extras that are named, for `pip install -r`.

So that an image's packages are a layer of their own: pip installs a project's requirements only with the project.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


def requirements(project: dict[str, dict[str, list[str]]], extras: list[str]) -> Iterator[str]:
    """The requirements of the extras, those that they take from one another too."""
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            name, _, rest = line.partition("[")
            if name == "triagem":
                yield from requirements(project, rest.rstrip("]").split(","))
            else:
                yield line


if __name__ == "__main__":
    wanted = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*wanted["dependencies"], *requirements(wanted, sys.argv[1:]), sep="\n")
