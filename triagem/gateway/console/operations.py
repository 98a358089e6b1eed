"""`/console/operations`: reclassification runs, dead letters, webhooks without a ticket, alerts, and who did what."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput, TriagemError
from triagem.db.audit import list_audit, record
from triagem.db.auth import Scope
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.runs import newest_runs
from triagem.db.tickets.dead_letters import delete_dead_letters, list_dead_letters
from triagem.gateway.console.error_messages import error_message_key
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.session import Admin, Form, Reader, row_id
from triagem.gateway.services import ServicesDep
from triagem.ops.invalid_files import file_problems
from triagem.ops.replay import replay

_MAX_DEAD_LETTERS: Final = 100

router = APIRouter()


@router.get("/operations")
def operations(request: Request, services: ServicesDep, visitor: Reader) -> Response:
    """Show the page, without webhooks if Redis does not answer. It lists dead letters without their payloads."""
    services.crm_file.read()
    own = {services.crm_file.setting: services.crm_file.problem} if services.crm_file.problem else {}
    try:
        ignored_webhooks, problem = services.webhook_counts.ignored(), None
        recorded = file_problems(services.inbox.redis)
    except TriagemError as error:  # alerts about Redis link to this page
        ignored_webhooks, recorded, problem = [], {}, error_message_key(error)
    return render_page(
        request,
        "operations.html",
        visitor,
        runs=newest_runs(services.database, limit=10, with_tickets=True),
        dead_letters=list_dead_letters(services.database, limit=_MAX_DEAD_LETTERS),
        ignored_webhooks=ignored_webhooks,
        problem=problem,
        file_problems=recorded | own,
        alerts=newest_alerts(services.database, limit=20),
        audit=list_audit(services.database, limit=50) if visitor.may(Scope.ADMIN) else None,
    )


@router.post("/dead-letter")
def handle_dead_letter(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Replay a dead letter, or delete it."""
    dead_letter_id = row_id(form.get("id", ""))
    if dead_letter_id is None:
        raise InvalidInput("no such dead letter")
    target = f"dead letter {dead_letter_id}"
    if form.get("action") == "drop":
        count, message = delete_dead_letters(services.database, [dead_letter_id]), "dropped"
        record(services.database, visitor.actor, "dead-letter.drop", target, "done" if count else "not found")
    else:
        count = replay(services.database, services.inbox, ids=[dead_letter_id], crm=services.crm).replayed
        message = "replayed" if count else "not_replayed"
        record(services.database, visitor.actor, "dead-letter.replay", target, "done" if count else "not replayed")
    return redirect(address("operations", message=message, about=count))
