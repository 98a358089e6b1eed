"""`POST /v1/reviews`: a person's verdict on a ticket, for CRMs and tools in which agents already see it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.field_errors import first_error
from triagem.contracts.ticket import id_text, identify
from triagem.db.auth import ApiKey, Scope
from triagem.db.reviews import MAX_COMMENT_CHARS, ReviewRejected, record_review
from triagem.db.reviews.records import Unasked
from triagem.db.tickets.forgetting import find_ticket
from triagem.gateway.admission import LargeBody
from triagem.gateway.authentication import actor_of, require_scope
from triagem.gateway.problems import NEEDS_KEY, ProblemError, problem_responses
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import request_due_version
from triagem.producer.crm.payload import parse

router = APIRouter(tags=["reviews"])


MAX_REVIEWS: Final = 1000
_NO_LABELS: Final = "label: there are no labels yet: name them on the console's page Start, or train a model"


class ReviewVerdict(BaseModel, extra="forbid"):
    """A verdict on the current text of a ticket."""

    source: str = Field(description="the CRM", examples=["shop"])
    external_id: Annotated[str, BeforeValidator(id_text)] = Field(
        description="the ticket's id in the CRM", examples=["4711"]
    )
    label: str | None = Field(description="the right label; null if the text does not show it", examples=["suporte"])
    revision: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="the revision of the text that was read; a verdict on an older text is refused",
        examples=[2],
    )
    comment: str = Field(default="", max_length=MAX_COMMENT_CHARS, description="a note for other people")


class ReviewReceipt(BaseModel):
    """The outcome of a verdict: recorded, or rejected with the reason."""

    status: Literal["recorded", "rejected"] = Field(description="whether it is recorded", examples=["recorded"])
    id: int | None = Field(default=None, description="the review's id", examples=[17])
    reviewer: str | None = Field(default=None, description="the name of the API key", examples=["ana"])
    reason: str | None = Field(default=None, description="why it was rejected")


class ReviewReceipts(BaseModel):
    """Outcomes in the order of the verdicts."""

    recorded: int = Field(description="number of recorded verdicts", examples=[1])
    rejected: int = Field(description="number of rejected verdicts", examples=[0])
    receipts: list[ReviewReceipt] = Field(description="one per verdict, in their order")


_SCHEMA: Final = ReviewVerdict.model_json_schema()
_REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [_SCHEMA, {"type": "array", "items": _SCHEMA, "minItems": 1, "maxItems": MAX_REVIEWS}]
            }
        }
    },
}


@router.post(
    "/v1/reviews",
    status_code=HTTPStatus.CREATED,
    summary="Submit verdicts",
    response_model_exclude_none=True,
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses=problem_responses(*NEEDS_KEY, 404, 408, 409, 413, 422),
)
def submit_review(
    request: Request,
    services: ServicesDep,
    key: Annotated[ApiKey, Depends(require_scope(Scope.REVIEW))],
    body: LargeBody,
) -> ReviewReceipt | ReviewReceipts:
    """Record one verdict, or a list of up to 1,000. A label is the ticket's effective label at once, also in CRMs.

    A single invalid verdict is refused with 404, 409 (the text has changed) or 422. In a list, each verdict has its
    own outcome. Accuracy is not estimated from verdicts, because people correct only the errors that they notice.
    The reviewer is the API key: if several people review one text, each needs a key.
    """
    document, labels = parse(body), services.known_labels()
    if not isinstance(document, list):
        receipt = _recorded(services, document, labels, key.name)
        request_due_version(services.database, services.registry, key.name, actor_of(request, key))
        return receipt
    if not document:
        raise InvalidInput("body: the list is empty: send at least one verdict")
    if len(document) > MAX_REVIEWS:
        raise InvalidInput(f"body: {len(document):,} verdicts: a request may have at most {MAX_REVIEWS:,}")
    receipts = []
    for row in document:
        try:
            receipts.append(_recorded(services, row, labels, key.name))
        except (InvalidInput, InvalidTicket, ProblemError) as error:
            reason = error.detail if isinstance(error, ProblemError) else str(error)
            receipts.append(ReviewReceipt(status="rejected", reason=reason))
    recorded = sum(receipt.status == "recorded" for receipt in receipts)
    request_due_version(services.database, services.registry, key.name, actor_of(request, key))
    return ReviewReceipts(recorded=recorded, rejected=len(receipts) - recorded, receipts=receipts)


def _recorded(services: Services, row: object, labels: Sequence[str], reviewer: str) -> ReviewReceipt:
    """Record one verdict. Raises InvalidInput, InvalidTicket or ProblemError."""
    try:
        verdict = ReviewVerdict.model_validate(row)
    except ValidationError as error:
        field, reason = first_error(error)
        raise InvalidInput(f"{field or 'verdict'}: {reason}") from None
    ticket = identify(verdict.source, verdict.external_id)
    if verdict.label is not None and verdict.label not in labels:
        stored = find_ticket(services.database, ticket)
        if stored is None or stored.forgotten_at:
            raise ProblemError(HTTPStatus.NOT_FOUND, str(ReviewRejected.GONE))
        raise InvalidInput(f"label: is not one of {', '.join(labels)}" if labels else _NO_LABELS)
    outcome = record_review(
        services.database, ticket, verdict.label, reviewer,
        kind=Unasked.CRM, requested=False, revision=verdict.revision, comment=verdict.comment,
    )  # fmt: skip
    if isinstance(outcome, ReviewRejected):
        changed = outcome is ReviewRejected.CHANGED
        raise ProblemError(HTTPStatus.CONFLICT if changed else HTTPStatus.NOT_FOUND, str(outcome))
    return ReviewReceipt(status="recorded", id=outcome, reviewer=reviewer)
