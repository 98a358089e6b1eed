"""`/console/operations`: reclassification runs, dead letters, webhooks without a ticket, alerts, and who did what."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.db.audit import Action, list_audit, record
from triagem.db.auth import Scope
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.runs import newest_runs
from triagem.db.tickets.dead_letters import delete_dead_letters, list_dead_letters
from triagem.gateway.authentication import actor_of
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.session import Admin, Form, Reader, row_id
from triagem.gateway.services import ServicesDep
from triagem.ops.replay import replay

_MAX_DEAD_LETTERS: Final = 100
_FLASH_KEYS: Final = {"replayed", "dropped", "not_replayed"}

router = APIRouter()


@router.get("/operations")
def operations(
    request: Request, services: ServicesDep, visitor: Reader, *, message: str = "", count: int = 0
) -> Response:
    """Dead letters are listed without their payload."""
    return render_page(
        request,
        "operations.html",
        visitor,
        flash={"key": message, "count": count} if message in _FLASH_KEYS else None,
        runs=newest_runs(services.database, limit=10),
        dead_letters=list_dead_letters(services.database, limit=_MAX_DEAD_LETTERS),
        ignored_webhooks=services.webhook_counts.ignored(),
        crm_file_problem=services.crm_file.problem,
        alerts=newest_alerts(services.database, limit=20),
        audit=list_audit(services.database, limit=50) if visitor.may(Scope.ADMIN) else None,
    )


@router.post("/dead-letter")
def handle_dead_letter(request: Request, services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Replay a dead letter, or delete it."""
    dead_letter_id = row_id(form.get("id", ""))
    if dead_letter_id is None:
        raise InvalidInput("no such dead letter")
    ids = [dead_letter_id]
    audit = partial(record, services.database, actor_of(request, visitor.key), target=f"dead letter {dead_letter_id}")
    if form.get("action") == "drop":
        dropped = delete_dead_letters(services.database, ids)
        audit(Action.DROP, outcome="done" if dropped else "not found")
        return redirect(address("operations", message="dropped", count=dropped))
    replayed = replay(services.database, services.inbox, ids=ids, crm=services.crm).replayed
    audit(Action.REPLAY, outcome="done" if replayed else "not replayed")
    return redirect(address("operations", message="replayed" if replayed else "not_replayed", count=replayed))
