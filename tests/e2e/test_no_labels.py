"""From no labels to a version in use: after `triagem up`, every step is done in a browser."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT
from tests.support.browser import browser, chromium
from tests.support.up import Up, started
from tests.support.waiting import until

_LABELS = ("suporte", "venda")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with started(tmp_path) as installation:
        yield installation


@pytest.fixture
def page() -> Iterator[Any]:
    chromium()
    with browser() as opened:
        yield opened.new_context(locale="en-GB").new_page()


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
    until(lambda: load(start) and page.locator(".answers").count() == 1, seconds=60, every=0.5)
    while min(answers[label] for label in _LABELS) < 10:
        if kills and answers.total() % 6 == 5:
            up.kill(rng.choice(["gateway", "ops", "trainer"]))
        until(lambda: load(start) and page.locator(".reviewing .text").count() == 1, every=0.5)
        label = truth[" ".join(page.locator(".reviewing .text").inner_text().split())]
        page.keyboard.press(label[0])
        page.get_by_text(f"Saved: {label}").wait_for()
        answers[label] += 1
        assert answers.total() < 100
    if kills:
        up.kill("trainer")

    # A training runs at a low priority: pages that are loaded without a pause would take its processor time.
    until(lambda: load(start) and page.get_by_text("is in use").count() == 1, seconds=600, every=2)
    until(lambda: len(results(up)) == 200, seconds=300, every=2)
    assert {row["band"] for row in results(up)} <= {"review", "abstain"}
    assert answers_stored(up) == answers


def answers_stored(up: Up) -> Counter[str]:
    return Counter(up.run("start", "--json")["answers"])


def results(up: Up) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = up.run("results", "--format", "json", "--limit", "1000")["results"]
    return rows
