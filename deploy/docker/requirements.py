"""Print the requirements of pyproject.toml with the named extras, for `pip install -r`.

pip can install requirements only together with the project; this script lets an image's packages be a separate layer.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


def requirements(project: dict[str, dict[str, list[str]]], extras: list[str]) -> Iterator[str]:
    """The requirements of the extras, including those of extras they refer to."""
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            name, _, rest = line.partition("[")
            if name == "triagem":
                yield from requirements(project, rest.rstrip("]").split(","))
            else:
                yield line


if __name__ == "__main__":
    project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(*project["dependencies"], *requirements(project, sys.argv[1:]), sep="\n")
