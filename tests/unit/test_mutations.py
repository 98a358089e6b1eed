"""The mutations can be planted and name tests that exist. `python -m tests.mutations` checks that they are caught."""

import ast
import re
from pathlib import Path

from tests.mutations.catalog import ROOT, mutations, occurrences, sources

MUTATIONS = mutations()
SOURCES = sources(ROOT)
# Intake is implemented in contracts, producer and gateway.
NOT_IN_THESE_PACKAGES = {4}


def defined(file: Path) -> set[str]:
    """The tests and test classes of a file, as in node ids."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{child.name}" for child in node.body if isinstance(child, ast.FunctionDef)}
    return names


def test_the_source_of_each_occurs_exactly_once_and_stays_valid() -> None:
    for mutation in MUTATIONS:
        files = list(occurrences(SOURCES, mutation))
        assert len(files) == 1, mutation.name
        if files[0].suffix == ".py":
            ast.parse(SOURCES[files[0]].replace(mutation.old, mutation.new), filename=mutation.name)


def test_the_tests_of_each_exist() -> None:
    names = {file: defined(ROOT / file) for file in {test.partition("::")[0] for m in MUTATIONS for test in m.tests}}
    for mutation in MUTATIONS:
        assert mutation.tests, mutation.name
        for test in mutation.tests:
            file, _, name = test.partition("::")
            assert not name or name in names[file], mutation.name


def test_names_are_unique() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names)


def test_each_rule_that_these_packages_implement_is_broken_by_one() -> None:
    page = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    rules = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert {mutation.rule for mutation in MUTATIONS} - {None} == rules - NOT_IN_THESE_PACKAGES
