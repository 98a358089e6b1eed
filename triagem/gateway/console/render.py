"""Renders pages: templates, the visitor's language, and security headers."""

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import cache, partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from triagem.contracts.moments import time_zone
from triagem.contracts.portuguese import in_portuguese
from triagem.db.labels import Label
from triagem.gateway.console.messages import MESSAGES, Lang, preferred_language, translate
from triagem.gateway.console.session import Visitor, row_id, set_cookie
from triagem.notify.alert_messages import describe, headline
from triagem.notify.alert_rules import Language
from triagem.process import TimezoneSettings

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
_OF_ALL_PAGES: Final = frozenset(("lang", "message", "about"))
_LANG_COOKIE: Final = "triagem_lang"
_YEAR_S: Final = 365 * 86_400
HEADERS: Final = {  # RequestMiddleware adds the headers that all answers have
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Messages that a page's URL may name, each with the names of its placeholders.
_FLASHES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("undone", "nothing_to_undo", "rejected_changed", "changed_before", "rejected_gone"), ()),
    **dict.fromkeys(("proposed", "saved_unclear", "label_added", "label_rejected", "not_promoted"), ()),
    **dict.fromkeys(("no_previous", "preflight_active", "preflight_deleted"), ()),
    **dict.fromkeys(("training_requested", "training_active", "training_cancelled", "training_ended"), ("id",)),
    **dict.fromkeys(("replayed", "dropped", "not_replayed"), ("count",)),
    **dict.fromkeys(("saved", "saved_existing", "label_exists", "label_described"), ("label",)),
    **dict.fromkeys(("promoted", "already_current"), ("version",)),
}
_IN_ENGLISH: Final = Markup('<span lang="en">{}</span>')
_NOTIFY_LANGUAGE: Final[dict[Lang, Language]] = {Lang.EN: "en", Lang.PT: "pt-BR"}
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def language(request: Request) -> Lang:
    """The language from the `lang` parameter, else from the cookie, else from the browser."""
    for code in (request.query_params.get("lang"), request.cookies.get(_LANG_COOKIE)):
        if code in set(Lang):
            return Lang(code)
    return preferred_language(request.headers.get("accept-language", ""))


def render_page(
    request: Request,
    template: str,
    visitor: Visitor | None = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    known: Collection[str] = (),
    **values: Any,
) -> HTMLResponse:
    """Render a page in the visitor's language. Its URL may name a message with numbers or `known` names as values."""
    lang, zone = language(request), page_zone()
    context: dict[str, Any] = {
        "t": partial(_translate_markup, lang),
        "lang": lang,
        "langs": {other: str(request.url.include_query_params(lang=other).query) for other in Lang},
        "here": request.url.path,
        "visitor": visitor,
        "token": visitor.token if visitor else "",
        "flash": _flash(request, lang, known, values.get("details", {})) if visitor else None,
        "unknown": unknown_parameters(request) if visitor else (),
        "when": partial(format_time, lang, zone),
        "zone": zone.key,
        "date": partial(format_date, lang),
        "alert_name": lambda kind: headline(_NOTIFY_LANGUAGE[lang], kind, {}),
        "alert_text": partial(describe, _NOTIFY_LANGUAGE[lang], zone=zone),
        "named": partial(_named, lang),
        "reason": partial(translate_reason, lang),
        "audited": lambda text: (lang is Lang.PT and in_portuguese(text)) or text,
        "worker_state": partial(_worker_state, lang),
        "number": partial(format_number, lang),
        "percent": lambda share, digits=1: format_number(lang, share * 100, digits) + "%",
        "address": address,
        "asset": _asset,
        "as_json": lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    }
    response = HTMLResponse(_TEMPLATES.get_template(template).render(context | values), status, dict(HEADERS))
    if request.query_params.get("lang") == lang:
        set_cookie(request, response, _LANG_COOKIE, lang, max_age_s=_YEAR_S)
    return response


def _flash(request: Request, lang: Lang, known: Collection[str], details: Mapping[str, Label]) -> str | None:
    """The message that the URL names, such as the outcome of a form. Labels are shown by their names."""
    key, values = request.query_params.get("message", ""), request.query_params.getlist("about")
    names = _FLASHES.get(key)
    if names is None or len(values) != len(names):
        return None
    if not all(value in known or row_id(value) is not None for value in values):
        return None
    shown = [details[value].name if value in details else value for value in values]
    return translate(lang, key, **dict(zip(names, shown, strict=True)))


def unknown_parameters(request: Request) -> list[str]:
    """The names in the URL that the page does not read, such as a misspelt filter."""
    read = {field.alias for field in get_flat_params(request.scope["route"].dependant)}
    return sorted(request.query_params.keys() - read - _OF_ALL_PAGES)


def _named(lang: Lang, kind: str, value: str) -> Markup:
    """The message for one of a kind's values; a value without a message, marked as English, as it is."""
    key = f"{kind}_{value}"
    return escape(translate(lang, key)) if key in MESSAGES else _IN_ENGLISH.format(value)


def translate_reason(lang: Lang, text: str) -> Markup:
    """A stored reason or an error in the language; one that cannot be translated, marked as English, as it is."""
    translated = text if lang is Lang.EN else in_portuguese(text)
    return _IN_ENGLISH.format(text) if translated is None else escape(translated)


def _worker_state(lang: Lang, state: str) -> Markup:
    """A worker's state in words, with the reason that may follow it."""
    name, colon, reason = state.partition(": ")
    return _named(lang, "worker", name) + colon + (translate_reason(lang, reason) if reason else "")


def redirect(path: str) -> RedirectResponse:
    """Redirect to a page with GET, after a form was submitted."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, dict(HEADERS))


def format_number(lang: Lang, value: float, digits: int = 0) -> str:
    """A number with the separators of the language."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if lang is Lang.PT else text


def page_zone() -> ZoneInfo:
    """The time zone of all days and times on pages, `TRIAGEM_TIMEZONE`. Each page names it at its end."""
    return time_zone(TimezoneSettings().timezone)


def format_time(lang: Lang, zone: ZoneInfo, time: datetime) -> Markup:
    """A time in the zone of the pages."""
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), format_minute(lang, zone, time))


def format_minute(lang: Lang, zone: ZoneInfo, time: datetime) -> str:
    """A time in the zone of the pages as text."""
    time = time.astimezone(zone)
    return f"{format_date(lang, time)} {time:%H:%M}"


def format_date(lang: Lang, day: date) -> str:
    """A day in the language's order."""
    return f"{day:%d/%m/%Y}" if lang is Lang.PT else f"{day:%Y-%m-%d}"


def _translate_markup(lang: Lang, key: str, **values: object) -> Markup:
    """A message whose values may be trusted markup, such as a time; other values are escaped."""
    return escape(translate(lang, key)).format(**values)


@cache
def _asset(name: str) -> str:
    """The URL of a static file. It contains a digest of the content, so that browsers can cache the file."""
    return f"/console/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def address(path: str, **query: object) -> str:
    """The URL of a page; empty query parameters are left out, and a tuple is one parameter given several times."""
    parameters = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"/console/{path}" + (f"?{urlencode(parameters, doseq=True)}" if parameters else "")
