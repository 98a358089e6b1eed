"""The public API: light to import, complete, typed, and the same for publisher and clients."""

import ast
import inspect
import json
import subprocess
import sys
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, assert_type

import pytest

import triagem
from tests.support.manifests import ROOT
from triagem import Accepted, AsyncClient, Client, Lane, Publisher, Receipt, Rejected, Ticket, TicketFields

HEAVY = {"torch", "transformers", "numpy", "sqlalchemy", "psycopg", "celery", "httpx2"}
NEED_HTTPX2 = {"AsyncClient", "Client"}


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new interpreter."""
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a new interpreter has loaded after a statement."""
    process = run_script(f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))")
    assert process.returncode == 0, process.stderr
    return {name.partition(".")[0] for name in json.loads(process.stdout)}


def test_importing_the_package_loads_no_dependency() -> None:
    assert loaded_by("import triagem").isdisjoint(HEAVY | {"pydantic", "redis", "structlog", "rich"})


def test_names_are_imported_without_database_worker_model_or_http_client() -> None:
    names = sorted(set(triagem.__all__) - NEED_HTTPX2)
    assert loaded_by(f"from triagem import {', '.join(names)}").isdisjoint(HEAVY)


def test_the_clients_are_imported_without_database_worker_or_model() -> None:
    names = sorted(NEED_HTTPX2)
    assert loaded_by(f"from triagem import {', '.join(names)}").isdisjoint(HEAVY - {"httpx2"})


@pytest.mark.parametrize("name", sorted(NEED_HTTPX2))
def test_a_client_without_httpx2_names_the_extra_to_install(name: str) -> None:
    process = run_script(f"import sys\nsys.modules['httpx2'] = None\nfrom triagem import {name}")

    assert process.stderr.splitlines()[-1] == "ImportError: the client needs httpx2: pip install 'triagem[client]'"


def test_a_star_import_brings_every_name() -> None:
    process = run_script(
        "import triagem\nfrom triagem import *\nprint(*sorted(set(triagem.__all__) - set(globals())))"
    )

    assert (process.stdout, process.stderr) == ("\n", "")


def test_every_name_is_visible_to_type_checkers() -> None:
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(triagem))) if isinstance(node, ast.ImportFrom)]
    typed = {alias.name for node in imports if (node.module or "").startswith("triagem.") for alias in node.names}

    assert typed == set(triagem.__all__)
    assert files("triagem").joinpath("py.typed").is_file()


def test_names_are_listed_and_an_unknown_one_is_an_attribute_error() -> None:
    assert set(triagem.__all__) <= set(dir(triagem))
    with pytest.raises(AttributeError, match="module 'triagem' has no attribute 'Publishr'"):
        _ = triagem.Publishr  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["publish", "publish_many"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_publisher_and_clients_take_the_same_parameters(method: str, client: type) -> None:
    expected = inspect.signature(getattr(Publisher, method)).parameters

    assert inspect.signature(getattr(client, method)).parameters == expected


def test_a_ticket_is_published_with_the_fields_it_has() -> None:
    parameters = set(inspect.signature(Publisher.publish).parameters) - {"self", "lane"}

    assert parameters == set(TicketFields.__annotations__) == set(Ticket.model_fields)


if TYPE_CHECKING:

    def _types(publisher: Publisher, client: Client, ticket: Ticket) -> None:
        """Checked by mypy: the types that a caller sees."""
        fields: TicketFields = {"source": "crm", "external_id": "1", "text": "oi", "metadata": {"vip": True}}
        assert_type(publisher.publish(**fields, lane=Lane.BULK), Accepted)
        assert_type(client.publish(source="crm", external_id="1", text="oi", revised_at=datetime.now()), Receipt)
        assert_type(publisher.publish_many([ticket, fields]), list[Accepted | Rejected])
        assert_type(next(client.publish_many([ticket, fields])), Receipt)
        publisher.publish(source="crm", external_id="1", text="oi", subject="oi")  # type: ignore[call-arg]
        client.publish(source="crm", external_id="1", text=5)  # type: ignore[arg-type]
