"""Valid and invalid requests are answered as the OpenAPI document describes: no 5xx, no other schema."""

from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.gateway import services
from tests.support.results import result
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.tickets.window import write_window
from triagem.gateway.app import create_app
from triagem.inbox import Inbox
from triagem.inbox.lease import Lease

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize(
    "max_examples", [8, pytest.param(200, marks=pytest.mark.slow)]
)  # requests per operation and mode
@pytest.mark.parametrize("scopes", [(), (Scope.ADMIN,)], ids=["without a key", "with a key"])
def test_no_request_breaks_the_gateway_or_its_description(
    database: Database, inbox: Inbox, instant_models: Path, scopes: tuple[Scope, ...], max_examples: int
) -> None:
    write_window(database, [result("4711"), result("a/b")])
    Lease(inbox.redis, 600).acquire()
    app = create_app(services(database, inbox, models=instant_models, predict_wait_s=0))
    headers = {"Authorization": f"Bearer {create_key(database, 'test', scopes)[1]}"} if scopes else {}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [operation.ok() for operation in schema.get_all_operations() if isinstance(operation, Ok)]
    assert len(operations) >= 7
    for operation, mode in product(operations, GenerationMode):
        with suppress(Unsatisfiable):  # an operation without input has no invalid requests
            _send_generated_requests(operation, mode, headers, max_examples)


def _send_generated_requests(
    operation: Any, mode: GenerationMode, headers: dict[str, str], max_examples: int
) -> None:
    @seed(1)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered(case: Case[Any]) -> None:
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)

    answered()
