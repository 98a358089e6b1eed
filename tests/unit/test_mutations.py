"""The mutations can be planted and name tests that exist. `python -m tests.mutations` checks that they are caught."""

import ast
import re
from pathlib import Path

import pytest

from tests.mutations.catalog import ROOT, Mutation, mutations, occurrences, sources

MUTATIONS = mutations()
SOURCES = sources(ROOT)
NAMES = [mutation.name for mutation in MUTATIONS]
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


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_its_source_occurs_exactly_once(mutation: Mutation) -> None:
    assert len(list(occurrences(SOURCES, mutation))) == 1


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_its_tests_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert not name or name in defined(ROOT / file)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_it_is_valid_python(mutation: Mutation) -> None:
    (file,) = occurrences(SOURCES, mutation)
    if file.suffix == ".py":
        ast.parse(SOURCES[file].replace(mutation.old, mutation.new))


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_each_rule_that_these_packages_implement_is_broken_by_one() -> None:
    page = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    rules = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert {mutation.rule for mutation in MUTATIONS} - {None} == rules - NOT_IN_THESE_PACKAGES
