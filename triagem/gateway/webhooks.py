"""`POST /v1/webhooks/{source}`: webhooks from CRMs, authenticated by the CRM's signature or token, not an API key."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from triagem.db.reviews.records import NoCorrection, Unasked, record_correction
from triagem.db.tickets.dead_letters import insert_webhook_dead_letter
from triagem.gateway import metrics
from triagem.gateway.admission import authenticate_sender, read_body
from triagem.gateway.authentication import Authenticator
from triagem.gateway.problems import ProblemError, problem_responses
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import request_due_version
from triagem.producer import crm

log = structlog.get_logger(__name__)

router = APIRouter(tags=["webhooks"])


class WebhookReceipt(BaseModel):
    """The outcome of a webhook. `dead-lettered`: it could not be read and was stored as a dead letter."""

    outcome: Literal["accepted", "ignored", "dead-lettered"] = Field(
        description="ignored: nothing to classify", examples=["accepted"]
    )
    tickets: int | None = Field(default=None, description="number of accepted tickets", examples=[1])
    verdicts: int | None = Field(default=None, description="number of recorded corrections of labels", examples=[1])
    reason: str | None = Field(default=None, description="why it was ignored or could not be read")
    challenge: str | None = Field(default=None, description="the answer that the CRM expects to its test of the URL")


async def _source(
    services: ServicesDep,
    source: Annotated[str, Path(description="a source in TRIAGEM_CRM_FILE", examples=["zendesk"])],
) -> crm.Source:
    crm_source = services.crm.sources.get(source)
    if crm_source is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no such source: add it to TRIAGEM_CRM_FILE")
    return crm_source


async def _body(
    request: Request,
    source: Annotated[crm.Source, Depends(_source)],
    token: Annotated[str | None, Query(description="for CRMs that can neither sign nor set headers")] = None,
) -> crm.Webhook:
    """Reads the body after the token was checked. Bodies of a source that only signs count in the smaller budget."""
    headers = dict(request.headers)
    if refusal := crm.check_head(crm.Webhook(b"", headers, token), source):
        raise _refused(source, refusal)
    if source.token is not None:
        authenticate_sender(request, f"source {source.name}")
    return crm.Webhook(await read_body(request, _MAX_BODY), headers, token)


def _refused(source: crm.Source, refusal: crm.RefusedWebhook) -> ProblemError:
    log.warning("webhook_refused", source=source.name, reason=refusal.reason)
    return ProblemError(HTTPStatus.UNAUTHORIZED, "the signature or token is missing or wrong")


_MAX_BODY: Final = 2 * 1024 * 1024
_MAX_UNMATCHED: Final = 100  # dead letters stored per source and reason: enough to find the mistake
_REQUEST_BODY: Final = {"required": True, "content": {"application/json": {"schema": {}}}}


@router.post(
    "/v1/webhooks/{source}",
    status_code=HTTPStatus.ACCEPTED,
    response_model_exclude_none=True,
    summary="Receive a CRM's webhook",
    openapi_extra={"requestBody": _REQUEST_BODY},
    responses={
        HTTPStatus.OK: {"model": WebhookReceipt, "description": "understood; nothing to classify"},
        **problem_responses(401, 404, 408, 413, 422, 429, 503),
    },
)
def receive(
    request: Request,
    response: Response,
    services: ServicesDep,
    source: Annotated[crm.Source, Depends(_source)],
    webhook: Annotated[crm.Webhook, Depends(_body)],
) -> WebhookReceipt:
    """Receive a CRM's webhook, authenticated by its signature or by the token in the CRM file.

    202: Redis has stored the webhook's tickets, a person's correction was recorded, or the webhook was stored as a
    dead letter. 200: the webhook has nothing to classify. Any other status: the CRM should send the webhook again.
    """
    now = services.now()
    if refusal := crm.check_sender(webhook, source, now):
        raise _refused(source, refusal)
    authenticator: Authenticator = request.app.state.authenticator
    authenticator.enforce_rate_limit("source", source.name)
    if expected := crm.challenge(webhook, source):
        response.status_code = HTTPStatus.OK
        return WebhookReceipt(outcome="ignored", reason="a test of the URL", challenge=expected)
    outcome = crm.read_webhook(webhook, source, now)
    corrections = _record_corrections(services, source, webhook)
    verdicts = sum(isinstance(correction, int) for correction in corrections) or None
    if verdicts:
        request_due_version(services.database, services.registry, source.name)
    match outcome:
        case crm.OversizedWebhook():
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, outcome.reason)
        case crm.IgnoredWebhook() | crm.UnmatchedWebhook():
            if verdicts:
                return WebhookReceipt(outcome="accepted", verdicts=verdicts)
            answer = outcome.reason
            if corrections:
                answer = str(corrections[0])
                # The value of a field may be any text: only the CRM that sent it gets it back.
                known = isinstance(corrections[0], NoCorrection)
                outcome = crm.IgnoredWebhook(answer if known else "a value that is not a label")
            counted = services.webhook_counts.record_ignored(source.name, outcome.reason)
            metrics.IGNORED_WEBHOOKS.labels(counted.source, counted.reason).inc()
            if (
                isinstance(outcome, crm.UnmatchedWebhook)
                and counted.count <= _MAX_UNMATCHED
                and not services.webhook_counts.has_accepted(source.name)  # perhaps the CRM file is wrong
            ):
                return _dead_letter(services, source, webhook.body, outcome.reason)
            response.status_code = HTTPStatus.OK
            return WebhookReceipt(outcome="ignored", reason=answer)
        case crm.UnreadableWebhook():
            return _dead_letter(services, source, webhook.body, outcome.reason)
        case crm.AcceptedWebhook():
            request.state.rows = len(outcome.tickets)
            services.publisher.put(outcome.tickets, request_id=request.state.request_id)
            services.webhook_counts.record_accepted(source.name)
            reason = "; ".join(outcome.unread) or None
            if reason:
                _dead_letter(services, source, webhook.body, reason)
            return WebhookReceipt(
                outcome="accepted",
                tickets=len(outcome.tickets),
                verdicts=verdicts,
                reason=reason,
            )


def _record_corrections(services: Services, source: crm.Source, webhook: crm.Webhook) -> list[int | str]:
    """Record the labels that people have changed in the CRM; returns ids, and why others are not recorded."""
    verdicts = crm.read_verdicts(webhook, source)
    labels = services.known_labels() if verdicts else ()
    corrections = list[int | str]()
    for verdict in verdicts:
        if label := crm.verdict_label(verdict, source, labels):
            recorded = record_correction(
                services.database, verdict.ticket, label, verdict.reviewer, Unasked.CRM, changed_at=verdict.changed_at
            )
            corrections.append(recorded)
        elif labels and (problem := crm.not_a_label(verdict, source)):
            corrections.append(problem)
    return corrections


def _dead_letter(services: Services, source: crm.Source, body: bytes, reason: str) -> WebhookReceipt:
    insert_webhook_dead_letter(services.database, source.name, body, reason)
    log.error("dead_letter", source=source.name, reason=reason)
    return WebhookReceipt(outcome="dead-lettered", reason=reason)
