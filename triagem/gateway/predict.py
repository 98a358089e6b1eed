"""`POST /predict`, the seed's: one text, its class and how sure. It takes the way of every ticket, the live lane.

It is a ticket of the source `predict` under a random id, which is all that is needed to ask for it again; `triagem
ops` deletes such rows after an hour.
"""

import secrets
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from triagem.contracts.result import Answer, Result
from triagem.contracts.ticket import MAX_TEXT_CHARS, PREDICT, question
from triagem.db.keys import Scope
from triagem.db.queries import named
from triagem.gateway.answers import Answers
from triagem.gateway.guard import Credentials, requires
from triagem.gateway.problems import Refused, answers
from triagem.gateway.room import InRoom

router = APIRouter(tags=["predict"])

_KEY: Final = requires(Scope.ENQUEUE)


class TextInput(BaseModel):
    """What to classify."""

    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS, examples=["Fui cobrado duas vezes este mês"])


class Later(BaseModel):
    """Accepted, and not classified in time: where to ask."""

    ask: str = Field(examples=["/predict/0f3c6f1de3a54cf09fb6d8a7e1b5c2d4"])


async def _admitted(request: Request, room: InRoom, credentials: Credentials) -> None:
    if not room.settings.predict_is_open:
        await _KEY(request, credentials)


async def _answers(request: Request) -> Answers:
    found = request.app.state.answers
    assert isinstance(found, Answers)
    return found


@router.post(
    "/predict",
    summary="Classify one text, now",
    response_model=Answer,
    responses={
        202: {
            "description": "Accepted, and not classified in time",
            "model": Later,
            "headers": {"Location": {"description": "where to ask", "schema": {"type": "string"}}},
        },
        **answers(
            HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    dependencies=[Depends(_admitted)],
)  # fmt: skip
async def predict(
    request: Request, room: InRoom, waiting: Annotated[Answers, Depends(_answers)], given: TextInput
) -> Answer | JSONResponse:
    """Needs a key with the scope `enqueue`, except where the gateway listens on this machine alone.

    Where no worker answers within two seconds it is 202, and `Location` says where to ask.
    """
    name = secrets.token_hex(16)
    text = question(given.text, name, now=room.now())
    await run_in_threadpool(room.publisher.put, [text], request_id=request.state.request_id)
    result = await waiting.wait(name, room.settings.predict_wait_s)
    if result is not None:
        return _output(result)
    ask = f"/predict/{name}"
    return JSONResponse(Later(ask=ask).model_dump(), HTTPStatus.ACCEPTED, {"Location": ask})


@router.get(
    "/predict/{name}",
    summary="The answer to a text that took longer",
    responses=answers(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def predicted(
    room: InRoom, name: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="of `Location`")]
) -> Answer:
    """Needs no key: nobody else knows the id."""
    found = named(room.database, PREDICT, [name])
    if not found:
        raise Refused(
            HTTPStatus.NOT_FOUND, "no answer: not classified yet, unknown, or deleted after an hour",
            {"Retry-After": "1"},
        )  # fmt: skip
    return _output(found[0])


def _output(result: Result) -> Answer:
    return Answer(class_name=result.label, confidence=result.confidence)
