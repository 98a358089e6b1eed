"""The system's Chromium, driven by Playwright, against a real gateway.

If either is missing, tests are skipped; with REQUIRE_BROWSER, which `.ci/run` sets, they fail.
"""

import importlib.resources
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import pytest
import uvicorn

from triagem.gateway.app import create_app
from triagem.gateway.serve import listen
from triagem.gateway.services import Services
from triagem.stack.state import choose_port

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES: Final = {"wide": (1280, 800), "phone": (360, 800)}


def chromium() -> str:
    """The path of the browser. Skips or fails the test if there is none."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if importlib.util.find_spec("playwright") is None:
        _missing("Playwright is not installed: pip install playwright")
    if path is None:
        _missing("no Chromium found: install it, or set CHROMIUM=/path")
    return path


def _missing(reason: str) -> NoReturn:
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


def axe() -> str:
    """The script of axe-core. Skips or fails the test if it is not installed."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        _missing("axe-core is not installed: pip install axe-playwright-python")
    return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def served(services: Services) -> Iterator[str]:
    """The gateway over HTTP in a thread; yields its address."""
    port = choose_port()
    server = uvicorn.Server(uvicorn.Config(create_app(services), lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listen("127.0.0.1", port)]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser, controlled by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()
