"""From no labels to a version in use: after `triagem up`, every step is done in a browser."""

import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.conftest import ROOT
from tests.support.browser import browser, chromium
from tests.support.small_bert import tiny_unigram_base
from tests.support.waiting import until
from triagem.stack import LocalStack
from triagem.stack.state import choose_port

_LABELS = ("suporte", "venda")


class Up:
    """`triagem up` on a terminal, in its own folder, without a model and with a tiny base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = tiny_unigram_base(folder / "tiny")
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TRIAGEM_REGISTRY_URL": str(folder / "models"),
            "TRIAGEM_GATEWAY_PORT": str(choose_port()), "TRIAGEM_TRAINER_BASE": base,
            "TRIAGEM_TRAINER_POLL_EVERY_S": "0.5", "TRIAGEM_TRAINER_LEASE_S": "3", "TRIAGEM_LEASE_S": "2",
        }  # fmt: skip
        terminal, other_end = pty.openpty()
        self.output = ""
        self.process = subprocess.Popen(
            self._command("up"), cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=other_end,
            stderr=other_end,
        )  # fmt: skip
        os.close(other_end)
        threading.Thread(target=self._read, args=(terminal,), daemon=True).start()

    def link(self) -> str:
        """The link that logs in."""
        pattern = re.compile(r"http://\S+/console/enter\?link=\S+")
        until(lambda: pattern.search(self.output) is not None or self.process.poll() is not None, seconds=90)
        match = pattern.search(self.output)
        assert match, self.output
        return match[0]

    def serves(self) -> bool:
        """Whether the gateway answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.environment['TRIAGEM_GATEWAY_PORT']}/health/live") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(
            subprocess.run(
                self._command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, check=True
            ).stdout
        )

    def kill(self, command: str) -> None:
        """Kill a process that `triagem up` started, which then starts another one."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self.process.pid and command.encode() in words:
                os.kill(int(folder.name), signal.SIGKILL)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        finally:
            self.process.kill()

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "triagem.cli.main", *arguments]

    def _read(self, terminal: int) -> None:
        while True:
            try:
                self.output += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the process has closed the terminal
                return


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started = Up(tmp_path)
    try:
        yield started
    finally:
        started.stop()
        LocalStack(tmp_path / ".triagem").erase()


@pytest.fixture
def page() -> Iterator[Any]:
    chromium()
    with browser() as started:
        yield started.new_context(locale="en-GB").new_page()


def texts() -> dict[str, str]:
    """Two hundred texts, and the right label of each."""
    rows = [json.loads(line) for line in (ROOT / "examples" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = {" ".join(row["prompt"].replace('"', "").split()): row["completion"] for row in rows}
    return dict(list(labels.items())[:200])


@pytest.mark.parametrize("kills", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["undisturbed", "kills"])
def test_two_hundred_messages_become_a_version_whose_results_are_all_reviewed(
    up: Up, page: Any, tmp_path: Path, kills: bool
) -> None:
    truth, rng = texts(), random.Random(7)
    link = up.link()

    def load(url: str) -> bool:
        """Load a page; False while the gateway is being started."""
        return up.serves() and bool(page.goto(url).ok)

    until(lambda: load(link), seconds=60)
    page.get_by_role("button", name="Enter", exact=True).click()
    for label in _LABELS:
        page.get_by_label("Label", exact=True).fill(label)
        page.get_by_role("button", name="Add label").click()
        page.get_by_text("Label saved").wait_for()
    export = tmp_path / "export.csv"
    rows = "".join(f'{number};"{text}"\n' for number, text in enumerate(truth))
    export.write_text(f"id;mensagem\n{rows}", encoding="utf-8")
    page.set_input_files("#file", export)
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("Messages accepted: 200. Rows rejected: 0.").wait_for()
    start = page.url.partition("?")[0]
    answers = Counter[str]()
    until(lambda: load(start) and page.locator(".answers").count() == 1, seconds=60)
    while min(answers[label] for label in _LABELS) < 10:
        if kills and answers.total() % 6 == 5:
            up.kill(rng.choice(["gateway", "ops", "trainer"]))
        until(lambda: load(start) and page.locator(".reviewing .text").count() == 1, seconds=60)
        label = truth[" ".join(page.locator(".reviewing .text").inner_text().split())]
        page.keyboard.press(label[0])
        page.get_by_text(f"Saved: {label}").wait_for()
        answers[label] += 1
        assert answers.total() < 100
    if kills:
        up.kill("trainer")

    until(lambda: load(start) and page.get_by_text("is in use").count() == 1, seconds=180)
    until(lambda: len(results(up)) == 200, seconds=120)
    assert {row["band"] for row in results(up)} <= {"review", "abstain"}
    assert answers_stored(up) == answers


def answers_stored(up: Up) -> Counter[str]:
    return Counter(up.run("start", "--json")["answers"])


def results(up: Up) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = up.run("results", "--format", "json", "--limit", "1000")["results"]
    return rows
