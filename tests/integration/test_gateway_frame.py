"""What every request passes: the body's limits, an id, one log line, the key. On endpoints made for the purpose."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import structlog
from fastapi import Body, Depends, Request
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from tests.support.builders import fake_inbox
from tests.support.gateway import services
from triagem.cli import logs
from triagem.db import Database
from triagem.db.api_keys import ApiKey, Scope, create_key, revoke_key
from triagem.gateway.app import create_app
from triagem.gateway.authentication import Authenticator, require_scope
from triagem.gateway.body_limit import BodyLimitMiddleware, RawBody
from triagem.gateway.services import Services
from triagem.inbox import Inbox

LIMIT = 2048
Logged = Callable[[Callable[[], object]], str]


@pytest.fixture
def place(database: Database) -> Services:
    return services(database, fake_inbox(), max_body_bytes=LIMIT)


@pytest.fixture
def http(place: Services) -> TestClient:
    """An application with endpoints that tests can tell from ours."""
    app = create_app(place)

    @app.post("/raw/{name}")
    def raw(body: RawBody, request: Request) -> dict[str, Any]:
        request.state.rows = 3
        return {"size": len(body), "id": request.state.request_id}

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
    @pytest.mark.parametrize("told", [True, False])
    def test_one_over_the_limit_is_413_whether_its_length_is_told_or_not(
        self, http: TestClient, path: str, told: bool
    ) -> None:
        def content(size: int) -> Any:
            body = b'"' + b"x" * (size - 2) + b'"'
            return body if told else iter([body[:1000], body[1000:]])

        as_json = {"Content-Type": "application/json"}
        answer = http.post(path, content=content(LIMIT + 1), headers=as_json)
        assert (answer.status_code, answer.json()["status"]) == (413, 413)
        assert answer.headers["content-type"] == "application/problem+json"
        assert http.post(path, content=content(LIMIT), headers=as_json).status_code == 200

    def test_one_that_does_not_come_in_time_is_408(self, http: TestClient) -> None:
        sent: list[Any] = []

        async def never() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/raw/x", "raw_path": b"/raw/x", "query_string": b""}
        impatient = BodyLimitMiddleware(http.app, LIMIT, timeout_s=0.05)
        asyncio.run(impatient(scope | {"headers": [], "http_version": "1.1"}, never, send))

        assert sent[0]["status"] == 408

    def test_too_many_at_a_time_are_told_to_come_again(self, place: Services) -> None:
        statuses: list[int] = []
        release = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await receive()
            except HTTPException as error:
                statuses.append(error.status_code)
                release.set()
            await release.wait()

        limited = BodyLimitMiddleware(app, LIMIT, timeout_s=60)

        async def chunk() -> Any:
            return {"type": "http.request", "body": b"x" * LIMIT, "more_body": False}

        async def send(message: Any) -> None: ...

        async def five() -> None:
            await asyncio.gather(*(limited({"type": "http", "headers": []}, chunk, send) for _ in range(5)))
            await limited({"type": "http", "headers": []}, chunk, send)  # what they held is given back

        asyncio.run(five())
        assert statuses == [503]


class TestRequestIds:
    def test_the_callers_own_is_kept_in_the_answer(self, http: TestClient) -> None:
        answer = http.post("/raw/x", headers={"X-Request-Id": "shop-17.a_b"})

        assert answer.headers["x-request-id"] == answer.json()["id"] == "shop-17.a_b"

    @pytest.mark.parametrize("asked", ["", "a b", "x" * 65, "é", '"', "a,b"])
    def test_one_that_is_not_plain_is_replaced(self, http: TestClient, asked: str) -> None:
        answer = http.post("/raw/x", headers=[(b"X-Request-Id", asked.encode("latin-1"))])

        assert answer.headers["x-request-id"] not in {asked, ""}

    def test_problems_have_one_too(self, http: TestClient) -> None:
        assert http.get("/nowhere").headers["x-request-id"]
        assert http.get("/broken").headers["x-request-id"]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """What is logged while something is called."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def said_by(call: Callable[[], object]) -> str:
        capfd.readouterr()
        logs.configure(logging.INFO)
        call()
        return capfd.readouterr().err

    yield said_by
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class TestTheLog:
    def test_a_request_is_one_line_with_the_routes_template_and_nobodys_words(
        self, http: TestClient, logged: Logged
    ) -> None:
        said = logged(
            lambda: http.post("/raw/maria?token=hunter2", content=b"minha senha", headers={"X-Request-Id": "r1"})
        )

        (line,) = (json.loads(one) for one in said.splitlines() if '"request"' in one)
        assert line.keys() == {
            "event", "level", "logger", "method", "ms", "request_id", "route", "rows", "status", "timestamp"
        }  # fmt: skip
        told = (line["method"], line["route"], line["status"], line["request_id"], line["rows"])
        assert told == ("POST", "/raw/{name}", 200, "r1", 3)
        for unsaid in ("maria", "hunter2", "senha"):
            assert unsaid not in said

    def test_the_template_of_an_included_router_is_said_too(self, http: TestClient, logged: Logged) -> None:
        said = logged(lambda: (http.post("/v1/webhooks/maria"), http.post("/maria/nowhere")))

        assert '"route": "/v1/webhooks/{source}"' in said
        assert '"route": null' in said
        assert "maria" not in said

    def test_a_fault_of_ours_is_500_and_logged_without_its_message(self, http: TestClient, logged: Logged) -> None:
        answers: list[Any] = []
        said = logged(lambda: answers.append(http.get("/broken?words=Zqx7391")))

        assert (answers[0].status_code, answers[0].headers["content-type"]) == (500, "application/problem+json")
        assert "KeyError" in said
        assert '"status": 500' in said
        assert "Zqx7391" not in said + answers[0].text


class TestKeys:
    def test_one_with_the_scope_opens(self, http: TestClient, database: Database) -> None:
        assert http.get("/read", headers=key(database, Scope.READ)).json() == "ours"
        assert http.get("/read", headers=key(database, Scope.ADMIN)).status_code == 200

    def test_one_without_it_does_not(self, http: TestClient, database: Database) -> None:
        answer = http.get("/read", headers=key(database, Scope.ENQUEUE, Scope.REVIEW))

        assert answer.status_code == 403
        assert "read" in answer.json()["detail"]

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer trg_wrong"}, {"Authorization": "Basic x"}])
    def test_without_one_the_answer_says_how_to_get_one(self, http: TestClient, headers: dict[str, str]) -> None:
        answer = http.get("/read", headers=headers)

        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "triagem keys create" in answer.json()["detail"]

    def test_a_revoked_one_is_refused_once_what_is_known_of_it_is_old(self, database: Database, inbox: Inbox) -> None:
        place, clock = services(database, inbox, key_cache_s=10), [0.0]
        guard = Authenticator(place, lambda: clock[0])
        made, secret = create_key(database, "x", [Scope.READ])
        assert known(guard, secret) == made
        revoke_key(database, made.id)

        clock[0] = 9.9
        assert known(guard, secret) == made
        clock[0] = 10.1
        assert known(guard, secret) is None

    def test_one_made_a_moment_ago_opens_at_once(self, http: TestClient, database: Database) -> None:
        headers = key(database, Scope.READ)

        assert http.get("/read", headers={"Authorization": "Bearer trg_wrong"}).status_code == 401
        assert http.get("/read", headers=headers).status_code == 200

    def test_too_many_requests_are_429_for_this_key_alone(self, database: Database) -> None:
        app = create_app(services(database, fake_inbox(), rate_limit="2/hour"))
        http, one, other = TestClient(app), key(database, Scope.ENQUEUE), key(database, Scope.ENQUEUE)
        assert [http.post("/v1/tickets", headers=one).status_code for _ in range(3)] == [422, 422, 429]
        assert int(http.post("/v1/tickets", headers=one).headers["retry-after"]) > 0
        assert http.post("/v1/tickets", headers=other).status_code == 422

    def test_while_postgres_is_away_a_key_seen_in_the_last_hour_opens_and_another_is_503(
        self, database: Database
    ) -> None:
        place, clock = services(database, fake_inbox()), [0.0]
        app = create_app(place)
        app.state.authenticator = Authenticator(place, lambda: clock[0])
        seen, unseen, http = key(database, Scope.ENQUEUE), key(database, Scope.ENQUEUE), TestClient(app)
        assert http.post("/v1/tickets", headers=seen).status_code == 422
        database.engine.dispose()
        object.__setattr__(place, "database", Database("postgresql://nobody@127.0.0.1:1/none"))

        for clock[0], status in ((60.0, 422), (3599.0, 422), (7300.0, 503)):
            assert http.post("/v1/tickets", headers=seen).status_code == status
        answer = http.post("/v1/tickets", headers=unseen)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def known(guard: Authenticator, secret: str) -> ApiKey | None:
    return asyncio.run(guard.authenticate(secret))
