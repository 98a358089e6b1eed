"""A real browser at a real gateway: the system's Chromium, driven by Playwright. Without both, tests are skipped."""

import importlib.resources
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import uvicorn

from triagem.cli.stack.ports import choose
from triagem.gateway.address import listen
from triagem.gateway.app import create_app
from triagem.gateway.room import Room

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES: Final = {"wide": (1280, 800), "phone": (390, 800)}


def chromium() -> str:
    """Where the browser is. Skips the test where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("Playwright is not installed: pip install playwright")
    if found is None:
        pytest.skip("no Chromium on this machine: install one, or say where it is with CHROMIUM=/path")
    return found


def axe() -> str:
    """axe-core's script. Skips the test where it is not installed."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def served(room: Room) -> Iterator[str]:
    """The gateway over HTTP in a thread; yields its address."""
    port = choose()
    server = uvicorn.Server(uvicorn.Config(create_app(room), lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listen("127.0.0.1", port)]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def browser() -> Iterator[Any]:
    """A started browser of Playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()
