"""The rules of the pipeline, and the tests and faults that docs/reference/rules.md names for them."""

import re
from inspect import signature
from pathlib import Path

from tests.faults.families import FAMILIES
from triagem.ops.app import ops_app, schedule_entries
from triagem.ops.settings import OpsSettings

ROOT = Path(__file__).parent.parent.parent
RULES = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
}


def test_the_rules_are_numbered_and_counted() -> None:
    numbers = re.findall(r"^\| (\d+) \|", RULES, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert re.findall(r"these (\d+) rules|INV-1 to INV-(\d+)", RULES) == [(numbers[-1], ""), ("", numbers[-1])]


def test_the_named_tests_and_faults_exist() -> None:
    faults = {fault.name for faults in FAMILIES.values() for fault in faults}
    assert set(re.findall(r"`(test_\w+)`", RULES)) <= TESTS
    assert set(re.findall(r"fault \*([^*]+)\*", RULES)) <= faults


def test_celery_carries_no_ticket() -> None:
    """INV-3: Triagem's tasks take no arguments; their work is stored in Postgres.

    The exception is `triagem.enqueue`, which services call through Celery. It ends when the ticket is in the inbox.
    """
    app = ops_app("redis://127.0.0.1:6379/1", OpsSettings())
    app.loader.import_default_modules()
    ours = {name: signature(task.run) for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert ours.pop("triagem.enqueue")
    assert ours.keys() >= schedule_entries(OpsSettings(retrain_at="05:00")).keys()
    assert {str(parameters) for parameters in ours.values()} == {"() -> None"}
