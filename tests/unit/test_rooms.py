"""What the rooms keep to: light imports, small files, and a docstring on everything public."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
MOST_LINES = 250

# Their documentation stands elsewhere: in Alembic's contract, and in the application's help.
SAID_ELSEWHERE = {"upgrade", "downgrade", "main"}


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh process has loaded after a statement."""
    script = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def undocumented(file: Path) -> Iterator[str]:
    """The public functions and classes of a file that say nothing about themselves."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and node.name not in SAID_ELSEWHERE
            and not ast.get_docstring(node)
        ):
            yield f"{file.relative_to(ROOT)}: {node.name}"


def test_a_producer_loads_no_database_no_worker_and_no_model() -> None:
    loaded = loaded_by("import producer, producer.crm, contracts, inbox")

    assert loaded.isdisjoint({"torch", "sqlalchemy", "celery", "transformers", "numpy", "httpx2"})


def test_a_ticket_is_forgotten_by_the_command_without_the_http_server() -> None:
    loaded = loaded_by("import gateway.forget, cli.commands.db")

    assert loaded.isdisjoint({"fastapi", "uvicorn"})


def test_no_process_loads_torch_before_it_loads_a_model() -> None:
    loaded = loaded_by("import cli.main, worker.app, worker.pipeline, engine, registry, db")

    assert loaded.isdisjoint({"torch", "transformers"})


def test_the_gateway_loads_no_torch_no_celery_and_nothing_that_computes() -> None:
    loaded = loaded_by("import gateway.serve, gateway.app, cli.commands.gateway, producer.crm, registry")

    assert loaded.isdisjoint({"torch", "transformers", "celery", "numpy", "sklearn"})


def test_a_versions_report_is_shown_without_what_made_it() -> None:
    loaded = loaded_by("import cli.version")

    assert loaded.isdisjoint({"torch", "numpy", "sklearn", "jinja2"})


def test_drift_is_noticed_without_torch() -> None:
    loaded = loaded_by("import trainer.drift, trainer.reference, cli.commands.drift")

    assert loaded.isdisjoint({"torch", "transformers", "sklearn", "py3langid"})


def test_no_file_is_longer_than_two_screens_and_a_half() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_every_file_says_what_it_is_for() -> None:
    written = [file for file in FILES if file.stat().st_size]

    assert [
        str(file.relative_to(ROOT)) for file in written if not ast.get_docstring(ast.parse(file.read_bytes()))
    ] == []


def test_every_public_function_and_class_has_a_docstring() -> None:
    assert [name for file in FILES for name in undocumented(file)] == []
