"""`GET /openapi.json`, and `GET /docs`: Swagger UI from an installed package, under the console's security policy."""

import json
from functools import cache
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from triagem.gateway.console.render import HEADERS, redirect

ASSETS: Final = StaticFiles(packages=[("fastapi_swagger", "resources")])
_POLICY: Final = "Content-Security-Policy"
_HEADERS: Final = HEADERS | {_POLICY: HEADERS[_POLICY].replace("img-src 'self'", "img-src 'self' data:")}  # icons
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Triagem - HTTP API</title>
<link rel="icon" href="/console/static/icon.svg">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<script src="/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="/console/static/docs.js" defer></script>
</head>
<body><div id="swagger-ui"></div></body>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of the API."""
    return Response(rendered(request.app), media_type="application/json")


@cache
def rendered(app: FastAPI) -> bytes:
    """The OpenAPI document, rendered once: otherwise each anonymous request would cost FastAPI milliseconds."""
    return json.dumps(app.openapi(), ensure_ascii=False).encode()


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The endpoints with their fields, and a form to try each."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/", include_in_schema=False)
@router.get("/console")
async def console() -> RedirectResponse:
    """The console's first page."""
    return redirect("/console/")
