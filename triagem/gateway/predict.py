"""`POST /predict`, from the original specification: classify one text through the live lane, like any ticket.

The text becomes a ticket of the source `predict` with a random id. Whoever knows the id can read the result.
`triagem ops` deletes such rows after an hour.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from triagem.contracts.errors import InvalidInput, TriagemError
from triagem.contracts.field_errors import first_error
from triagem.contracts.result import PredictResponse, Result
from triagem.contracts.ticket import MAX_TEXT_CHARS, PREDICT_SOURCE, predict_ticket
from triagem.db.auth import Scope
from triagem.db.tickets.queries import results_by_external_id
from triagem.gateway.admission import read_body
from triagem.gateway.authentication import Credentials, require_scope
from triagem.gateway.health import missing_model
from triagem.gateway.problems import (
    NEEDS_KEY,
    ProblemError,
    problem_responses,
    refuse_unknown_parameters,
)
from triagem.gateway.services import Services, ServicesDep, is_loopback
from triagem.producer.crm.payload import parse

_POLL_INTERVAL_S: Final = 0.02


class ResultWaiter:
    """Waits for results of one source for many requests. Belongs to one event loop; polls only while a request waits.

    Args:
        fetch: returns the results that exist for these external ids.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Iterable[Result]]) -> None:
        self._fetch = fetch
        self._waiting: dict[str, asyncio.Future[Result]] = {}
        self._poller: asyncio.Task[None] | None = None
        self.had_no_model = False  # no worker had a model when the last request was answered

    async def wait(self, external_id: str, seconds: float) -> Result | None:
        """The ticket's result, or None if there is none within `seconds`."""
        future = self._waiting[external_id] = asyncio.get_running_loop().create_future()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return None
        finally:
            del self._waiting[external_id]

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(_POLL_INTERVAL_S)
            try:
                # asyncio's own threads: all threads of the endpoints may be busy with requests that wait for this.
                results = await asyncio.to_thread(self._fetch, list(self._waiting))
            except TriagemError:  # try again until the requests time out
                continue
            for result in results:
                future = self._waiting.get(result.external_id)
                if future and not future.done():
                    future.set_result(result)


router = APIRouter(tags=["predict"])

_KEY: Final = require_scope(Scope.ENQUEUE)


class PredictRequest(BaseModel):
    """The text to classify."""

    text: str = Field(
        description="the message",
        min_length=1,
        max_length=MAX_TEXT_CHARS,
        examples=["Fui cobrado duas vezes este mês"],
    )


_MAX_BODY: Final = 12 * MAX_TEXT_CHARS + 1024  # ASCII JSON escapes one emoji as twelve bytes
_REQUEST_BODY: Final = {
    "required": True,
    "content": {"application/json": {"schema": PredictRequest.model_json_schema() | {"title": "Object with a text"}}},
}


class PredictionPending(BaseModel):
    """Accepted but not classified in time. `ask` is the path to poll for the result."""

    ask: str = Field(description="the path to poll", examples=["/predict/0f3c6f1de3a54cf09fb6d8a7e1b5c2d4"])


async def _authorize(request: Request, services: ServicesDep, credentials: Credentials) -> None:
    refuse_unknown_parameters(request)
    if not services.settings.predict_is_open or not (services.settings.open_predict or _is_local(request)):
        await _KEY(request, credentials)


def _is_local(request: Request) -> bool:
    """Whether the request's host is this machine. Another name may point here too: DNS rebinding by a website."""
    try:
        return is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")
    except ValueError:
        return False


async def _body(request: Request) -> PredictRequest:
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise InvalidInput("content-type: expected application/json")  # a form on another site cannot send this type
    content = await read_body(request, _MAX_BODY)
    try:
        # pydantic's JSON parser holds Python's global lock, and builds any object that stands in place of the text.
        return PredictRequest.model_validate(await run_in_threadpool(parse, content))
    except ValidationError as error:
        field, reason = first_error(error)
        raise InvalidInput(f"{field or 'body'}: {reason}") from None


@router.post(
    "/predict",
    summary="Classify one text now",
    response_model=PredictResponse,
    responses={
        202: {
            "description": "Accepted but not classified in time",
            "model": PredictionPending,
            "headers": {"Location": {"description": "the path to poll", "schema": {"type": "string"}}},
        },
        **problem_responses(*NEEDS_KEY, 400, 408, 413, 422),
    },
    openapi_extra={"requestBody": _REQUEST_BODY},
    dependencies=[Depends(_authorize)],
)
async def predict(
    request: Request,
    services: ServicesDep,
    body: Annotated[PredictRequest, Depends(_body)],
) -> PredictResponse | JSONResponse:
    """Requires a key with the scope `enqueue`, unless the gateway and the URL's host are loopback only.

    Returns 202 if there is no result within two seconds: poll the path in `Location`; 503 if there is no model yet.
    """
    waiter: ResultWaiter = request.app.state.result_waiter
    await _require_model(services, waiter, check=waiter.had_no_model)
    prediction_id = secrets.token_hex(16)
    text = predict_ticket(body.text, prediction_id, now=services.now())
    await run_in_threadpool(services.publisher.put, [text], request_id=request.state.request_id)
    result = await waiter.wait(prediction_id, services.settings.predict_wait_s)
    if result is not None:
        return _response(result)
    await _require_model(services, waiter, check=True)
    ask = f"/predict/{prediction_id}"
    return JSONResponse(PredictionPending(ask=ask).model_dump(), HTTPStatus.ACCEPTED, {"Location": ask})


async def _require_model(services: Services, waiter: ResultWaiter, *, check: bool) -> None:
    """Raise ProblemError if no worker has a model, without storing the text again once that is known."""
    reason = await run_in_threadpool(missing_model, services) if check else None
    waiter.had_no_model = reason is not None
    if reason is not None:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, reason)


@router.get(
    "/predict/{prediction_id}",
    summary="Get the result of an earlier /predict request",
    responses=problem_responses(404, 422, 503),
)
def get_prediction(
    services: ServicesDep,
    prediction_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="the id in `Location`")],
) -> PredictResponse:
    """Requires no key: only the client of the first request knows the id."""
    results = results_by_external_id(services.database, PREDICT_SOURCE, [prediction_id])
    if not results:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "no result: not classified yet, unknown, or deleted after an hour",
            {"Retry-After": "1"},
        )  # fmt: skip
    return _response(results[0])


def _response(result: Result) -> PredictResponse:
    return PredictResponse(class_name=result.label, confidence=result.confidence)
