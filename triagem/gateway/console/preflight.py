"""`/console/preflight`: estimates from an uploaded export what could be automated. A trainer does the work."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from triagem.db.training_jobs import JobKind, cancel, find_active, newest_job, request
from triagem.db.uploads import delete_upload, find_upload, store_upload
from triagem.gateway.admission import LargeBody
from triagem.gateway.console.render import address, redirect, render_page
from triagem.gateway.console.session import Admin, Form
from triagem.gateway.console.upload import parse_upload
from triagem.gateway.console.upload_advice import browser_advice
from triagem.gateway.services import Services, ServicesDep

_OPTIONS: Final = ("label_column", "label_map", "by")

router = APIRouter()


@router.get("/preflight")
def preflight(request: Request, services: ServicesDep, visitor: Admin) -> Response:
    """Show the form, the newest job, and its figures while they are kept."""
    job = newest_job(services.database, JobKind.PREFLIGHT)
    upload = find_upload(services.database, int(job.parameters["upload"])) if job else None
    figures = upload and upload.result
    typed = {**dict.fromkeys(_OPTIONS, ""), **(job.parameters if job and job.error else {})}
    return render_page(
        request, "preflight.html", visitor, job=job, figures=figures, typed=typed, browser_advice=browser_advice
    )


@router.post("/preflight/upload")
def rate_file(http: Request, services: ServicesDep, visitor: Admin, body: LargeBody) -> Response:
    """Store the file, and request the job that rates and deletes it."""
    upload = parse_upload(http.headers.get("content-type", ""), body)
    if find_active(services.database, JobKind.PREFLIGHT):
        return redirect(address("preflight", message="preflight_active"))
    _delete_newest(services)
    upload_id = store_upload(services.database, upload.name, upload.content)
    options = {name: upload.fields.get(name, "").strip() for name in _OPTIONS}
    _, is_new = request(
        services.database, JobKind.PREFLIGHT, requested_by=visitor.name, parameters={"upload": upload_id, **options},
        actor=visitor.actor,
    )  # fmt: skip
    if not is_new:
        delete_upload(services.database, upload_id)
    return redirect(address("preflight", message=None if is_new else "preflight_active"))


@router.post("/preflight")
def delete(services: ServicesDep, visitor: Admin, form: Form) -> Response:  # noqa: ARG001 - checks scope and token
    """Cancel the job if it is active, and delete the file and the figures."""
    if job := find_active(services.database, JobKind.PREFLIGHT):
        cancel(services.database, job.id)
    _delete_newest(services)
    return redirect(address("preflight", message="preflight_deleted"))


def _delete_newest(services: Services) -> None:
    if job := newest_job(services.database, JobKind.PREFLIGHT):
        delete_upload(services.database, int(job.parameters["upload"]))
