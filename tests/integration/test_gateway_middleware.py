"""The middleware of every request: body limits, request id, log line, API key. Its endpoints exist only here."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from unittest.mock import Mock

import pytest
import structlog
from fastapi import Body, Depends, Request
from sqlalchemy import make_url
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from tests.support.builders import fake_inbox
from tests.support.gateway import services
from triagem.cli import logs
from triagem.contracts.errors import DatabaseUnavailable
from triagem.db import Database
from triagem.db.auth import ApiKey, Scope, create_key, find_key, revoke_key
from triagem.gateway import authentication, request_middleware
from triagem.gateway.admission import SMALL_BODY, BodyBudget, RequestBody, read_body
from triagem.gateway.app import create_app
from triagem.gateway.authentication import Authenticator, known_key, require_scope
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.stack import Endpoints

LIMIT = 2048
Logged = Callable[[Callable[[], object]], str]


@pytest.fixture
def opened(database: Database) -> Services:
    return services(database, fake_inbox(), max_body_bytes=LIMIT)


@pytest.fixture
def http(opened: Services) -> TestClient:
    """An application with additional endpoints."""
    app = create_app(opened)

    @app.post("/raw/{name}")
    async def raw(request: Request) -> dict[str, Any]:
        request.state.rows = 3
        return {"size": len(await read_body(request, LIMIT)), "id": request.state.request_id}

    @app.post("/parsed")
    def parsed(body: Annotated[Any, Body()]) -> dict[str, Any]:
        return {"got": body}

    @app.get("/read")
    def read(key: Annotated[ApiKey, Depends(require_scope(Scope.READ))]) -> str:
        return key.name

    @app.get("/broken")
    def broken(words: str = "") -> None:
        raise KeyError(words)

    return TestClient(app)


def key(database: Database, *scopes: Scope) -> dict[str, str]:
    """The headers of a new key."""
    _, secret = create_key(database, "ours", scopes)
    return {"Authorization": f"Bearer {secret}"}


class TestBodies:
    @pytest.mark.parametrize("path", ["/raw/x", "/parsed"])
    @pytest.mark.parametrize("with_length", [True, False])
    def test_a_body_over_the_limit_is_413_with_or_without_its_length(
        self, http: TestClient, path: str, with_length: bool
    ) -> None:
        def content(size: int) -> Any:
            body = b'"' + b"x" * (size - 2) + b'"'
            return body if with_length else iter([body[:1000], body[1000:]])

        as_json = {"Content-Type": "application/json"}
        answer = http.post(path, content=content(LIMIT + 1), headers=as_json)
        assert (answer.status_code, answer.json()["status"]) == (413, 413)
        assert answer.headers["content-type"] == "application/problem+json"
        assert http.post(path, content=content(LIMIT), headers=as_json).status_code == 200

    def test_bodies_of_unknown_senders_have_a_small_budget_and_each_sender_half_of_it(self) -> None:
        budgets = BodyBudget(8 * SMALL_BODY), BodyBudget(4 * SMALL_BODY)

        assert [hold(budgets, client="a", size=2 * SMALL_BODY) for _ in range(2)] == [True, False]
        assert hold(budgets, client="b", size=2 * SMALL_BODY)
        assert not hold(budgets, client="c", size=2 * SMALL_BODY)
        assert hold(budgets, client="c", size=2 * SMALL_BODY, key="key 1")
        assert hold(budgets, client="c", size=SMALL_BODY)  # a small body needs no budget

    def test_the_bytes_of_an_answered_request_are_available_again(self) -> None:
        budgets = BodyBudget(0), BodyBudget(4 * SMALL_BODY)

        assert all(hold(budgets, client="a", size=2 * SMALL_BODY, answered=True) for _ in range(9))


def hold(
    budgets: tuple[BodyBudget, BodyBudget], *, client: str, size: int, key: str | None = None, answered: bool = False
) -> bool:
    """Receive a body; return False if the budget refuses it. It stays counted until the request is answered."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    body = RequestBody(receive, client, budgets, limit=0, declared=0, timeout_s=60)
    if key:
        body.authenticate(key)
    try:
        asyncio.run(body.read(size))
    except HTTPException:
        body.close()
        return False
    if answered:
        body.close()
    return True


class TestHeaders:
    @pytest.mark.parametrize("path", ["/raw/x", "/nowhere", "/v1/tickets", "/openapi.json"])
    def test_no_answer_is_stored_or_guessed(self, http: TestClient, path: str) -> None:
        headers = http.post(path).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")

    @pytest.mark.parametrize("path", ["/", "/console"])
    def test_the_root_leads_to_the_console(self, http: TestClient, path: str) -> None:
        answer = http.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")

    def test_the_description_page_loads_nothing_from_other_hosts_under_the_consoles_policy(
        self, http: TestClient
    ) -> None:
        page = http.get("/docs")
        console = http.get("/console/login")
        policy = page.headers["content-security-policy"].replace(" data:", "")  # Swagger UI's icons
        assert policy == console.headers["content-security-policy"]
        addresses = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert len(addresses) == 4
        for address in addresses:
            assert http.get(address).status_code == 200
            assert address.startswith(("/docs/assets/", "/console/static/"))


class TestRequestIds:
    def test_the_callers_id_is_returned(self, http: TestClient) -> None:
        answer = http.post("/raw/x", headers={"X-Request-Id": "shop-17.a_b"})

        assert answer.headers["x-request-id"] == answer.json()["id"] == "shop-17.a_b"

    @pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "é", '"', "a,b"])
    def test_an_id_with_other_characters_is_replaced(self, http: TestClient, sent: str) -> None:
        answer = http.post("/raw/x", headers=[(b"X-Request-Id", sent.encode("latin-1"))])

        assert answer.headers["x-request-id"] not in {sent, ""}

    def test_problems_have_one_too(self, http: TestClient) -> None:
        assert http.get("/nowhere").headers["x-request-id"]
        assert http.get("/broken").headers["x-request-id"]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """Captures what is logged during a call."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def capture(call: Callable[[], object]) -> str:
        capfd.readouterr()
        logs.configure(logging.INFO)
        # A new logger: the module's own keeps the configuration of the first test that used it.
        monkeypatch.setattr(request_middleware, "log", structlog.get_logger(request_middleware.__name__))
        call()
        return capfd.readouterr().err

    yield capture
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class TestLog:
    def test_a_request_is_one_line_with_the_routes_template_and_nothing_from_the_client(
        self, http: TestClient, logged: Logged
    ) -> None:
        output = logged(
            lambda: http.post("/raw/maria?token=hunter2", content=b"minha senha", headers={"X-Request-Id": "r1"})
        )

        (line,) = (json.loads(line) for line in output.splitlines() if '"request"' in line)
        assert line.keys() == {
            "event", "level", "logger", "method", "ms", "pid", "process", "request_id", "route", "rows", "status",
            "timestamp",
        }  # fmt: skip
        values = (line["method"], line["route"], line["status"], line["request_id"], line["rows"])
        assert values == ("POST", "/raw/{name}", 200, "r1", 3)
        for secret in ("maria", "hunter2", "senha"):
            assert secret not in output

    def test_the_template_of_an_included_router_is_logged_too(self, http: TestClient, logged: Logged) -> None:
        output = logged(lambda: (http.post("/v1/webhooks/maria"), http.post("/maria/nowhere")))

        assert '"route": "/v1/webhooks/{source}"' in output
        assert '"route": null' in output
        assert "maria" not in output

    def test_an_internal_error_is_500_and_logged_without_its_message(self, http: TestClient, logged: Logged) -> None:
        answers: list[Any] = []
        output = logged(lambda: answers.append(http.get("/broken?words=Zqx7391")))

        assert (answers[0].status_code, answers[0].headers["content-type"]) == (500, "application/problem+json")
        assert "KeyError" in output
        assert '"status": 500' in output
        assert "Zqx7391" not in output + answers[0].text


class TestKeys:
    def test_a_key_with_the_scope_is_accepted(self, http: TestClient, database: Database) -> None:
        assert http.get("/read", headers=key(database, Scope.READ)).json() == "ours"
        assert http.get("/read", headers=key(database, Scope.ADMIN)).status_code == 200

    def test_a_key_without_the_scope_is_403(self, http: TestClient, database: Database) -> None:
        answer = http.get("/read", headers=key(database, Scope.ENQUEUE, Scope.REVIEW))

        assert answer.status_code == 403
        assert "read" in answer.json()["detail"]

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer trg_wrong"}, {"Authorization": "Basic x"}])
    def test_without_a_key_the_answer_says_how_to_get_one(self, http: TestClient, headers: dict[str, str]) -> None:
        answer = http.get("/read", headers=headers)

        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "triagem keys create" in answer.json()["detail"]

    def test_a_revoked_key_is_refused_once_its_cache_entry_has_expired(
        self, database: Database, inbox: Inbox
    ) -> None:
        opened, clock = services(database, inbox, key_cache_s=10), [0.0]
        authenticator = Authenticator(opened, lambda: clock[0])
        created, secret = create_key(database, "x", [Scope.READ])
        assert authenticate(authenticator, secret) == created
        revoke_key(database, created.id)

        clock[0] = 9.9
        assert authenticate(authenticator, secret) == created
        clock[0] = 10.1
        assert authenticate(authenticator, secret) is None

    @pytest.mark.parametrize("known", [True, False])
    def test_requests_that_arrive_together_with_a_new_key_look_it_up_once(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, known: bool
    ) -> None:
        created, secret = create_key(database, "x", [Scope.READ])
        authenticator = Authenticator(services(database, fake_inbox()))
        look_up = Mock(side_effect=find_key)
        monkeypatch.setattr(authentication, "find_key", look_up)

        async def authenticate_together() -> list[ApiKey | BaseException | None]:
            first, *others = (
                asyncio.create_task(authenticator.authenticate(secret if known else "trg_unknown", "127.0.0.1"))
                for _ in range(20)
            )
            await asyncio.sleep(0)
            first.cancel()  # the client has gone: the others still need the result
            return await asyncio.gather(first, *others, return_exceptions=True)

        cancelled, *keys = asyncio.run(authenticate_together())
        assert isinstance(cancelled, asyncio.CancelledError)
        assert keys == [created if known else None] * 19
        look_up.assert_called_once()

    def test_while_postgres_refuses_our_password_the_answer_is_503_without_details(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        url = make_url(endpoints.database_url).set(password="wrong").render_as_string(hide_password=False)
        http = TestClient(create_app(services(Database(url), fake_inbox())))
        answer = http.get("/v1/results", headers={"Authorization": "Bearer trg_any"})

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "TRIAGEM_DATABASE_URL" not in answer.text

    def test_a_new_key_is_accepted_at_once(self, http: TestClient, database: Database) -> None:
        headers = key(database, Scope.READ)

        assert http.get("/read", headers={"Authorization": "Bearer trg_wrong"}).status_code == 401
        assert http.get("/read", headers=headers).status_code == 200

    def test_too_many_requests_are_429_for_this_key_alone(self, database: Database) -> None:
        app = create_app(services(database, fake_inbox(), rate_limit="2/hour"))
        http, first, second = TestClient(app), key(database, Scope.ENQUEUE), key(database, Scope.ENQUEUE)
        assert [http.post("/v1/tickets", headers=first).status_code for _ in range(3)] == [422, 422, 429]
        assert int(http.post("/v1/tickets", headers=first).headers["retry-after"]) > 0
        assert http.post("/v1/tickets", headers=second).status_code == 422

    def test_while_postgres_is_unavailable_a_key_that_any_gateway_saw_within_the_hour_is_accepted(
        self, database: Database
    ) -> None:
        inbox, (seen, secret), unseen = fake_inbox(), create_key(database, "x", [Scope.READ]), "trg_unseen"
        assert authenticate(Authenticator(services(database, inbox)), secret) == seen
        without_postgres = services(Database("postgresql://nobody@127.0.0.1:1/none"), inbox)
        other = Authenticator(without_postgres)

        assert authenticate(other, secret) == seen
        with pytest.raises(DatabaseUnavailable):
            authenticate(other, unseen)
        assert 3590 < inbox.redis.ttl(known_key(secret)) <= 3600
        assert secret not in f"{known_key(secret)} {inbox.redis.hgetall(known_key(secret))}"
        inbox.redis.delete(known_key(secret))
        with pytest.raises(DatabaseUnavailable):
            authenticate(Authenticator(without_postgres), secret)

    @pytest.mark.parametrize("change", ["revoked", "expired"])
    def test_a_key_that_was_revoked_or_has_expired_is_not_accepted_during_an_outage(
        self, database: Database, change: str
    ) -> None:
        opened, clock = services(database, fake_inbox(), key_cache_s=10), [0.0]
        seeing = Authenticator(opened, lambda: clock[0])
        created, secret = create_key(database, "x", [Scope.READ], expires_at=datetime.now(UTC) + timedelta(hours=1))
        assert authenticate(seeing, secret) == created
        if change == "revoked":
            revoke_key(database, created.id)
            clock[0] = 11
            assert authenticate(seeing, secret) is None
        later = replace(
            services(Database("postgresql://nobody@127.0.0.1:1/none"), opened.inbox),
            now=lambda: datetime.now(UTC) + timedelta(hours=1 if change == "expired" else 0),
        )
        with pytest.raises(DatabaseUnavailable):
            authenticate(Authenticator(later), secret)

    def test_a_new_key_is_503_while_postgres_is_unavailable(self) -> None:
        http = TestClient(create_app(services(Database("postgresql://nobody@127.0.0.1:1/none"), fake_inbox())))
        answer = http.post("/v1/tickets", headers={"Authorization": "Bearer trg_new"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def authenticate(authenticator: Authenticator, secret: str) -> ApiKey | None:
    return asyncio.run(authenticator.authenticate(secret, "127.0.0.1"))
