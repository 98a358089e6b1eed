"""`POST /v1/reviews`: a person's verdict on a ticket, for CRMs and tools in which agents already see it."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import first_error, identify
from triagem.db.auth import ApiKey, Scope
from triagem.db.reviews import ReviewRejected, record_review
from triagem.db.reviews.corrections import Unasked
from triagem.gateway.admission import SMALL_BODY, read_body
from triagem.gateway.authentication import require_scope
from triagem.gateway.console.tickets import known_labels
from triagem.gateway.problems import ProblemError, problem_responses
from triagem.gateway.services import ServicesDep

router = APIRouter(tags=["reviews"])


class ReviewVerdict(BaseModel):
    """A verdict on the current text of a ticket."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(description="the CRM", examples=["shop"])
    external_id: str = Field(description="the ticket's id in the CRM", examples=["4711"])
    label: str | None = Field(description="the right label; null if the text does not show it", examples=["suporte"])


_REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": ReviewVerdict.model_json_schema()}},
}


async def _verdict(request: Request) -> ReviewVerdict:
    try:
        return ReviewVerdict.model_validate_json(await read_body(request, SMALL_BODY))
    except ValidationError as error:
        raise InvalidInput(": ".join(filter(None, first_error(error)))) from None


class ReviewReceipt(BaseModel):
    """A recorded verdict."""

    id: int = Field(description="the review's id", examples=[17])
    reviewer: str = Field(description="the name of the API key", examples=["ana"])


@router.post(
    "/v1/reviews",
    status_code=HTTPStatus.CREATED,
    summary="Submit a verdict",
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses=problem_responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)  # fmt: skip
def submit_review(
    services: ServicesDep,
    key: Annotated[ApiKey, Depends(require_scope(Scope.REVIEW))],
    verdict: Annotated[ReviewVerdict, Depends(_verdict)],  # after the key
) -> ReviewReceipt:
    """The label becomes the ticket's effective label at once, and CRMs that know the ticket get it.

    The estimate of accuracy does not count it, because people correct what they notice.
    The reviewer is the API key: a text that several people review needs a key for each.
    """
    labels = known_labels(services)
    if verdict.label is not None and verdict.label not in labels:
        raise InvalidInput(f"label: is not one of {', '.join(labels)}")
    ticket = identify(verdict.source, verdict.external_id)
    outcome = record_review(services.database, ticket, verdict.label, key.name, kind=Unasked.CRM, requested=False)
    if isinstance(outcome, ReviewRejected):
        raise ProblemError(HTTPStatus.NOT_FOUND, str(outcome))
    return ReviewReceipt(id=outcome.id, reviewer=outcome.reviewer)
