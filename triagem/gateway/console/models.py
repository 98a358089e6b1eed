"""`/console/models`: versions, how good each is, what the gate says of it, promote and rollback."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import REPORT_FILE, Manifest
from triagem.gateway.console.render import address, go_to, page
from triagem.gateway.console.session import Admin, Form, Reader, Visitor
from triagem.gateway.problems import Refused
from triagem.gateway.room import InRoom, Room
from triagem.registry.decision import Rule
from triagem.registry.promote import consider, through_gate

router = APIRouter()


class _Figure(BaseModel):
    value: float | None
    low: float | None
    high: float | None


class _Slice(BaseModel):
    rows: int
    figures: Mapping[str, _Figure]


class _Bin(BaseModel):
    rows: int
    confidence: float
    accuracy: _Figure


class Report(BaseModel):
    """What a page shows of a version's `report.json`, which `triagem.trainer.report` writes."""

    labels: tuple[str, ...]
    overall: _Slice
    by_label: Mapping[str, _Slice]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[_Bin, ...]


@router.get("/models")
def models(request: Request, room: InRoom, who: Reader, *, said: str = "", version: str = "") -> Response:
    """All versions, newest first, and the log of promotions."""
    known = set(room.registry.versions())
    told = {"key": "promoted", "version": version} if said == "promoted" and version in known else None
    return page(
        request, "models.html", who, said=told, versions=[*reversed(_manifests(room))], current=_current(room),
        promotions=room.registry.promotions()[:-11:-1],
    )  # fmt: skip


@router.get("/model")
def model(request: Request, room: InRoom, who: Reader, version: str, rule: Annotated[str, Query()] = "") -> Response:
    """One version beside the current one."""
    return _page(request, room, who, version, Rule(rule) if rule in set(Rule) else Rule.IMPROVE)


@router.post("/model")
def promote(request: Request, room: InRoom, who: Admin, form: Form) -> Response:
    """Through the gate, and never past it: who must force a version does so with the command, and says why."""
    version, asked = form.get("version", ""), form.get("rule", "")
    rule = Rule(asked) if asked in set(Rule) else Rule.IMPROVE
    _, current = through_gate(room.registry, version, rule)
    if current is None:
        return _page(request, room, who, version, rule, said={"key": "not_promoted"})
    return go_to(address("models", said="promoted", version=version))


@router.post("/rollback")
def rollback(room: InRoom, who: Admin, form: Form) -> Response:
    """To the version before the present one; the log says who, and why."""
    reason = form.get("reason", "").strip()
    current = room.registry.rollback(f"{who.name}: {reason}" if reason else who.name)
    return go_to(address("models", said="promoted", version=current.version))


def _page(
    request: Request, room: Room, who: Visitor, version: str, rule: Rule, *, said: Mapping[str, Any] | None = None
) -> Response:
    if version not in room.registry.versions():
        raise Refused(HTTPStatus.NOT_FOUND, "")
    current, manifest = _current(room), room.registry.manifest(version)
    decision = None if version == current else consider(room.registry, version, rule=rule)
    return page(
        request, "model.html", who, said=said, manifest=manifest, report=_report(room, version), current=current,
        decision=decision, rule=rule, rules=list(Rule),
    )  # fmt: skip


def _manifests(room: Room) -> list[Manifest]:
    found = []
    for version in room.registry.versions():
        with suppress(ModelCorrupt):
            found.append(room.registry.manifest(version))
    return found


def _current(room: Room) -> str | None:
    with suppress(NoModel):
        return room.registry.current().version
    return None


def _report(room: Room, version: str) -> Report | None:
    content = room.registry.read(version, REPORT_FILE)
    try:
        return Report.model_validate_json(content) if content else None
    except ValidationError as error:
        raise ModelCorrupt(f"{version}: {REPORT_FILE} cannot be read: another release may have written it") from error
