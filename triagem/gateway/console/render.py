"""Pages: templates, the visitor's language, and headers that keep a page from running or loading anything else."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from triagem.gateway.console.session import Visitor, put_cookie
from triagem.gateway.console.words import Lang, preferred, say

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
_LANG_COOKIE: Final = "triagem_lang"
_YEAR_S: Final = 365 * 86_400
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # customers' texts
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGES: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def language(request: Request) -> Lang:
    """The one asked for with this page, else the one asked for before, else the browser's."""
    for asked in (request.query_params.get("lang"), request.cookies.get(_LANG_COOKIE)):
        if asked in set(Lang):
            return Lang(asked)
    return preferred(request.headers.get("accept-language", ""))


def page(
    request: Request,
    template: str,
    visitor: Visitor | None = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    said: Mapping[str, Any] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page in the visitor's language. `said` is a saying's key and blanks, told above the content."""
    lang = language(request)
    spoken: dict[str, Any] = {
        "t": partial(_told, lang),
        "lang": lang,
        "langs": {other: str(request.url.include_query_params(lang=other).query) for other in Lang},
        "here": request.url.path,
        "visitor": visitor,
        "token": visitor.token if visitor else "",
        "said": said and say(lang, **said),
        "when": partial(when, lang),
        "number": partial(number, lang),
        "percent": lambda share, digits=1: number(lang, share * 100, digits) + "%",
        "address": address,
        "asset": _asset,
        "as_json": lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    }
    answer = HTMLResponse(_PAGES.get_template(template).render(spoken | values), status, dict(_HEADERS))
    if request.query_params.get("lang") == lang:
        put_cookie(request, answer, _LANG_COOKIE, lang, lasts_s=_YEAR_S)
    return answer


def go_to(path: str) -> RedirectResponse:
    """After a form: the page to look at, by GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, dict(_HEADERS))


def number(lang: Lang, value: float, digits: int = 0) -> str:
    """With the language's commas and points."""
    written = f"{value:,.{digits}f}"
    return written.translate(str.maketrans(",.", ".,")) if lang is Lang.PT else written


def when(lang: Lang, moment: datetime) -> Markup:
    """A time in UTC; the page's script writes it in the reader's own zone."""
    shown = f"{moment:%d/%m/%Y %H:%M}" if lang is Lang.PT else f"{moment:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}">{} UTC</time>').format(moment.isoformat(), shown)


def _told(lang: Lang, key: str, **values: object) -> Markup:
    """A saying whose blanks may hold markup of ours, as a time; what else is in them is escaped."""
    return escape(say(lang, key)).format(**values)


@cache
def _asset(name: str) -> str:
    """A file's address, which changes with its content, so that browsers may keep it."""
    return f"/console/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def address(path: str, **query: object) -> str:
    """A page's address; what has no value is left out."""
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"/console/{path}" + (f"?{urlencode(given)}" if given else "")
