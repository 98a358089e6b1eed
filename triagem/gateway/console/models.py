"""`/console/models`: model versions, their metrics, the promotion gate, promotion and rollback."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE, Manifest
from triagem.db import training_jobs
from triagem.db.audit import Action, record
from triagem.db.training_jobs import JobKind
from triagem.gateway.authentication import actor_of
from triagem.gateway.console.render import HEADERS, address, redirect, render_page
from triagem.gateway.console.session import Admin, Form, Reader, Visitor, row_id
from triagem.gateway.problems import ProblemError
from triagem.gateway.services import Services, ServicesDep
from triagem.registry.decision import Rule
from triagem.registry.promote import evaluate_version, promote_through_gate

router = APIRouter()

_TRAINING_FLASHES: Final = {"training_requested", "training_active", "training_cancelled", "training_ended"}


class _Estimate(BaseModel):
    value: float | None
    low: float | None
    high: float | None


class _Slice(BaseModel):
    rows: int
    metrics: Mapping[str, _Estimate]


class _Bin(BaseModel):
    rows: int
    confidence: float
    accuracy: _Estimate


class ReportView(BaseModel):
    """The parts of a version's `report.json` that its page shows. `trainer.evaluate.report` defines the file."""

    labels: tuple[str, ...]
    overall: _Slice
    by_label: Mapping[str, _Slice]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[_Bin, ...]


@router.get("/models")
def models(
    request: Request, services: ServicesDep, visitor: Reader, *, message: str = "", version: str = "", job: int = 0
) -> Response:
    """All versions, newest first, the newest training jobs, and the promotion log."""
    is_known = version in set(services.registry.versions())
    flash: dict[str, Any] | None = None
    if message == "promoted" and is_known:
        flash = {"key": "promoted", "version": version}
    elif message in _TRAINING_FLASHES:
        flash = {"key": message, "id": job}
    return render_page(
        request, "models.html", visitor, flash=flash, versions=[*reversed(_manifests(services))],
        current=_current(services), promotions=services.registry.promotions()[:-11:-1],
        jobs=training_jobs.newest_jobs(services.database, limit=10),
    )  # fmt: skip


@router.get("/model")
def model(
    request: Request, services: ServicesDep, visitor: Reader, version: str, rule: Annotated[str, Query()] = ""
) -> Response:
    """One version, compared with the current one."""
    return _version_page(request, services, visitor, version, Rule(rule) if rule in set(Rule) else Rule.IMPROVE)


@router.get("/report")
def report(services: ServicesDep, visitor: Reader, version: str) -> Response:  # noqa: ARG001 - checks the scope
    """The version's `report.html`, which has no script and escapes all texts."""
    content = services.registry.read(version, HTML_REPORT_FILE) if version in services.registry.versions() else None
    if content is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(content, media_type="text/html", headers={**HEADERS, "Content-Security-Policy": policy})


@router.post("/model")
def promote(request: Request, services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Promote a version that passes the gate. Forcing one requires the command line and a reason."""
    version, rule_name = form.get("version", ""), form.get("rule", "")
    rule = Rule(rule_name) if rule_name in set(Rule) else Rule.IMPROVE
    _, current = promote_through_gate(services.registry, version, rule)
    if current is None:
        return _version_page(request, services, visitor, version, rule, flash={"key": "not_promoted"})
    record(services.database, actor_of(request, visitor.key), Action.PROMOTE, version)
    return redirect(address("models", message="promoted", version=version))


@router.post("/training")
def request_training(request: Request, services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Request a training on the agreed labels, or cancel a job. `triagem trainer` does the work."""
    actor = actor_of(request, visitor.key)
    if form.get("action") == "cancel":
        job_id = row_id(form.get("id", "")) or 0
        is_cancelled = training_jobs.cancel(services.database, job_id)
        if is_cancelled:
            record(services.database, actor, Action.CANCEL_TRAINING, f"training {job_id}")
        return redirect(
            address("models", message="training_cancelled" if is_cancelled else "training_ended", job=job_id)
        )
    job, is_new = training_jobs.request(
        services.database, JobKind.FULL, requested_by=visitor.name, parameters={"promote": "propose"}
    )
    if is_new:
        record(services.database, actor, Action.REQUEST_TRAINING, f"training {job.id}")
    return redirect(address("models", message="training_requested" if is_new else "training_active", job=job.id))


@router.post("/rollback")
def rollback(request: Request, services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Roll back to the previous version; the log records who did it and why."""
    reason = form.get("reason", "").strip()
    current = services.registry.rollback(f"{visitor.name}: {reason}" if reason else visitor.name)
    record(services.database, actor_of(request, visitor.key), Action.ROLL_BACK, current.version)
    return redirect(address("models", message="promoted", version=current.version))


def _version_page(
    request: Request,
    services: Services,
    visitor: Visitor,
    version: str,
    rule: Rule,
    *,
    flash: Mapping[str, Any] | None = None,
) -> Response:
    if version not in services.registry.versions():
        raise ProblemError(HTTPStatus.NOT_FOUND, "")
    current, manifest = _current(services), services.registry.manifest(version)
    decision = None if version == current else evaluate_version(services.registry, version, rule=rule)
    return render_page(
        request, "model.html", visitor, flash=flash, manifest=manifest, report=_report(services, version),
        current=current, decision=decision, rule=rule, rules=list(Rule),
    )  # fmt: skip


def _manifests(services: Services) -> list[Manifest]:
    manifests = []
    for version in services.registry.versions():
        with suppress(ModelCorrupt):
            manifests.append(services.registry.manifest(version))
    return manifests


def _current(services: Services) -> str | None:
    with suppress(NoModel):
        return services.registry.current().version
    return None


def _report(services: Services, version: str) -> ReportView | None:
    content = services.registry.read(version, REPORT_FILE)
    try:
        return ReportView.model_validate_json(content) if content else None
    except ValidationError as error:
        raise ModelCorrupt(f"{version}: {REPORT_FILE} cannot be read: another release may have written it") from error
