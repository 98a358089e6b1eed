"""The rules of the pipe, and that what docs/rules.md says of their tests is so."""

import re
from pathlib import Path

import pytest

from tests.faults.families import FAMILIES
from worker.app import make_app

ROOT = Path(__file__).parent.parent.parent
RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
}


def test_all_25_rules_are_listed() -> None:
    assert re.findall(r"^\| (\d+) \|", RULES, re.MULTILINE) == [str(number) for number in range(1, 26)]


@pytest.mark.parametrize("name", re.findall(r"`(test_\w+)`", RULES))
def test_the_named_test_exists(name: str) -> None:
    assert name in TESTS


@pytest.mark.parametrize("name", re.findall(r"fault \*([^*]+)\*", RULES))
def test_the_named_fault_exists(name: str) -> None:
    assert name in {fault.name for faults in FAMILIES.values() for fault in faults}


def test_celery_carries_no_ticket() -> None:
    """PIPE 3: none of our tasks is there to be sent one. Tasks whose truth stands in Postgres may come."""
    assert [name for name in make_app("redis://127.0.0.1:6379/1").tasks if not name.startswith("celery.")] == []
