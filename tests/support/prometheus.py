"""Starts a Prometheus with Triagem's rules for one test, if the program is installed."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from tests.support.promql import RULES
from triagem.stack.state import choose_port


class Prometheus:
    """Queries a Prometheus by HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an expression; empty while it starts. An invalid expression fails the test."""
        return list(self._get(f"query?query={quote(expression)}").get("result", []))

    def rules(self) -> list[dict[str, Any]]:
        """The loaded rules, with the state of their last evaluation."""
        return [rule for group in self._get("rules").get("groups", []) for rule in group["rules"]]

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urlopen(f"{self._url}/{path}") as response:
                data: dict[str, Any] = json.load(response)["data"]
                return data
        except URLError as error:
            if getattr(error, "code", 503) == 503 or isinstance(error.reason, ConnectionRefusedError):
                return {}
            raise


@contextmanager
def prometheus(targets: Mapping[str, int], folder: Path) -> Iterator[Prometheus]:
    """Scrape these jobs on their ports ten times a second, until the block ends."""
    if (program := shutil.which("prometheus")) is None:
        pytest.skip("prometheus is not on the PATH (Debian: apt install prometheus)")
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in targets.items()
    ]
    config = {"global": {"scrape_interval": "100ms", "evaluation_interval": "100ms"}, "scrape_configs": jobs}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config | {"rule_files": [str(RULES)]}), encoding="utf-8")
    port = choose_port()
    arguments = [f"--config.file={file}", f"--storage.tsdb.path={folder}", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait()
