"""Rules for all packages: light imports, short files, and a docstring on everything public."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.manifests import ROOT, sources

FILES = sources()
MAX_LINES = 299

# Documented elsewhere: by Alembic's contract, and by the application's help.
DOCUMENTED_ELSEWHERE = {"upgrade", "downgrade", "main"}


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh process has loaded after a statement."""
    script = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(process.stdout.split())


def undocumented(file: Path) -> Iterator[str]:
    """The public functions and classes of a file without a docstring."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and node.name not in DOCUMENTED_ELSEWHERE
            and not ast.get_docstring(node)
        ):
            yield f"{file.relative_to(ROOT)}: {node.name}"


def test_a_producer_loads_no_database_no_worker_and_no_model() -> None:
    loaded = loaded_by("import triagem.producer, triagem.producer.crm, triagem.contracts, triagem.inbox")

    assert loaded.isdisjoint({"torch", "sqlalchemy", "celery", "transformers", "numpy", "httpx2"})


def test_the_forget_command_does_not_load_the_http_server() -> None:
    loaded = loaded_by("import triagem.ops.forget, triagem.cli.commands.db")

    assert loaded.isdisjoint({"fastapi", "uvicorn"})


def test_no_process_loads_torch_before_it_loads_a_model() -> None:
    loaded = loaded_by(
        "import triagem.cli.main, triagem.worker.app, triagem.worker.pipeline, triagem.engine, "
        "triagem.registry, triagem.db"
    )

    assert loaded.isdisjoint({"torch", "transformers"})


def test_the_gateway_loads_no_torch_no_celery_and_no_numerical_library() -> None:
    loaded = loaded_by(
        "import triagem.gateway.serve, triagem.gateway.app, triagem.cli.commands.run, triagem.producer.crm, "
        "triagem.registry"
    )

    assert loaded.isdisjoint({"torch", "transformers", "celery", "numpy", "sklearn"})


def test_a_versions_report_is_shown_without_training_libraries() -> None:
    loaded = loaded_by("import triagem.cli.model_reports")

    assert loaded.isdisjoint({"torch", "numpy", "sklearn", "jinja2"})


def test_drift_is_detected_without_torch() -> None:
    loaded = loaded_by(
        "import triagem.trainer.monitor.drift, triagem.trainer.monitor.reference, triagem.cli.commands.jobs"
    )

    assert loaded.isdisjoint({"torch", "transformers", "sklearn", "py3langid"})


def test_without_a_database_driver_the_help_names_its_extra() -> None:
    script = "import sys; sys.modules['psycopg'] = None; from triagem.cli.main import run; run(['--help'])"
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "150"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert re.search(r"results .*run pip install 'triagem\[db\]'", process.stdout)
    assert re.search(r"enqueue .*Put the tickets of a file into the inbox", process.stdout)


def test_no_file_has_300_lines() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}

    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_every_file_has_a_docstring() -> None:
    non_empty = [file for file in FILES if file.stat().st_size]

    assert [
        str(file.relative_to(ROOT)) for file in non_empty if not ast.get_docstring(ast.parse(file.read_bytes()))
    ] == []


def test_every_public_function_and_class_has_a_docstring() -> None:
    assert [name for file in FILES for name in undocumented(file)] == []
