"""`/console/models`: model versions, their metrics, the promotion gate, promotion and rollback."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from math import floor
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.contracts.assessment import METRICS_HINT
from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import HTML_REPORT_FILE, HTML_REPORT_PT_FILE, Manifest
from triagem.db.audit import record
from triagem.db.model_versions import had_model
from triagem.db.reviews.expected import AccuracyReport, newest_accuracy_reports
from triagem.db.training_jobs import JobKind, newest_jobs
from triagem.db.training_jobs import cancel as cancel_job
from triagem.db.training_jobs import request as request_job
from triagem.gateway.console.messages import Lang
from triagem.gateway.console.render import HEADERS, address, language, redirect, render_page
from triagem.gateway.console.session import Admin, Form, Reader, row_id
from triagem.gateway.console.tickets import choice, label_context
from triagem.gateway.console.upload_advice import browser_advice
from triagem.gateway.problems import ProblemError
from triagem.gateway.services import Services, ServicesDep
from triagem.ops.labelling import made_from_answers
from triagem.registry.decision import Rule
from triagem.registry.history import FIRST_HEAD
from triagem.registry.promote import evaluate_version, promote_through_gate, roll_back
from triagem.registry.records import read_report

_CHART_DAYS: Final = 30
_CHART_WIDTH: Final = 480
_CHART_HEIGHT: Final = 150

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Day:
    """A day of the chart, in units of its view box: the expected accuracy, and the reviews' estimate if any."""

    x: float
    expected: float
    interval: tuple[float, float, float] | None
    report: AccuracyReport


def _accuracy_days(reports: Sequence[AccuracyReport]) -> tuple[list[_Day], float]:
    """The days of a chart, oldest first, and the share at its lower edge; the upper edge is 100 %."""
    shares = [value for report in reports for value in (report.expected, report.low) if value is not None]
    lowest = min(0.9, floor(min(shares, default=1) * 10) / 10)

    def height(share: float) -> float:
        return round(_CHART_HEIGHT * (1 - (share - lowest) / (1 - lowest)), 1)

    days = list[_Day]()
    for number, report in enumerate(reversed(reports)):
        reviewed = (report.low, report.reviewed, report.high)
        interval = tuple(height(value) for value in reviewed if value is not None)
        x = round(_CHART_WIDTH * (number + 0.5) / len(reports), 1)
        days.append(_Day(x, height(report.expected), interval if len(interval) == 3 else None, report))
    return days, lowest


@router.get("/models")
def models(request: Request, services: ServicesDep, visitor: Reader) -> Response:
    """All versions, newest first, the newest training jobs, and the promotion log."""
    versions, manifests = services.registry.versions(), list[Manifest]()
    for version in reversed(versions):
        with suppress(ModelCorrupt):
            manifests.append(services.registry.manifest(version))
    days, lowest = _accuracy_days(newest_accuracy_reports(services.database, limit=_CHART_DAYS))
    return render_page(
        request, "models.html", visitor, known=versions, versions=manifests, current=services.current_version(),
        lost=_is_lost(services),
        promotions=services.registry.promotions()[:-11:-1],
        previous=services.registry.rollback_version() if services.current_version() else None,
        jobs=newest_jobs(services.database, limit=10), browser_advice=browser_advice,
        first_head=FIRST_HEAD, days=days, lowest=lowest, width=_CHART_WIDTH, height=_CHART_HEIGHT,
        **label_context(services),
    )  # fmt: skip


@router.get("/model")
def model(request: Request, services: ServicesDep, visitor: Reader, version: str = "", rule: str = "") -> Response:
    """One version, compared with the current one."""
    _check_exists(services, version)
    current, chosen = services.current_version(), _rule(rule)
    ready = version not in {current, *services.registry.archived()}
    decision = evaluate_version(services.registry, version, rule=chosen) if ready else None
    manifest = services.registry.manifest(version)
    return render_page(
        request, "model.html", visitor, manifest=manifest, report=read_report(services.registry, version),
        from_answers=made_from_answers(services.database, manifest), metrics_hint=METRICS_HINT, current=current,
        decision=decision, rule=chosen,
        rules=list(Rule), **label_context(services),
    )  # fmt: skip


@router.get("/report")
def report(
    request: Request,
    services: ServicesDep,
    visitor: Reader,  # noqa: ARG001 - checks the scope
    version: str = "",
) -> Response:
    """The version's page in the visitor's language, which has no script and escapes all texts."""
    name = HTML_REPORT_PT_FILE if language(request) is Lang.PT else HTML_REPORT_FILE
    _check_exists(services, version)
    content = services.registry.read(version, name)
    if content is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "error_404_report")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(content, media_type="text/html", headers={**HEADERS, "Content-Security-Policy": policy})


@router.post("/model")
def promote(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Promote a version that passes the gate. Forcing one requires the command line and a reason."""
    version, rule = form.get("version", ""), _rule(form.get("rule", ""))
    _check_exists(services, version)
    if version == services.current_version():  # the button was clicked twice
        return redirect(address("models", message="already_current", about=version))
    announce = partial(record, services.database, visitor.actor, "model.promote", version)
    if promote_through_gate(services.registry, version, rule, announce=announce)[1]:
        return redirect(address("models", message="promoted", about=version))
    return redirect(address("model", version=version, rule=rule, message="not_promoted"))


@router.post("/training")
def request_training(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Request a training on the agreed labels, or cancel a job. `triagem trainer` does the work."""
    if form.get("action") == "cancel":
        job_id = row_id(form.get("id", "")) or 0
        message = "training_ended"
        if cancel_job(services.database, job_id):
            record(services.database, visitor.actor, "training.cancel", f"training {job_id}")
            message = "training_cancelled"
    else:
        job, is_new = request_job(
            services.database, JobKind.FULL, requested_by=visitor.name, parameters={"promote": "propose"},
            actor=visitor.actor,
        )  # fmt: skip
        job_id, message = job.id, "training_requested" if is_new else "training_active"
    return redirect(address("models", message=message, about=job_id))


@router.post("/rollback")
def rollback(services: ServicesDep, visitor: Admin, form: Form) -> Response:
    """Roll back to the previous version; the log records who did it and why."""
    reason = form.get("reason", "").strip()
    announce = partial(record, services.database, visitor.actor, "model.rollback")
    try:
        current = roll_back(services.registry, f"{visitor.name}: {reason}" if reason else visitor.name, announce)
    except NoModel:
        if _is_lost(services):
            raise ProblemError(HTTPStatus.NOT_FOUND, "model_lost") from None
        return redirect(address("models", message="no_previous"))
    return redirect(address("models", message="promoted", about=current.version))


def _check_exists(services: Services, version: str) -> None:
    if version not in services.registry.versions():
        raise ProblemError(HTTPStatus.NOT_FOUND, "model_lost" if _is_lost(services) else "error_404_version")


def _is_lost(services: Services) -> bool:
    """Whether the registry has no versions although one was current before."""
    return not services.registry.versions() and had_model(services.database)


def _rule(name: str) -> Rule:
    return choice("Rule", name, Rule) or Rule.IMPROVE
