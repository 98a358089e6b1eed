"""The page of a report: one file that fetches nothing, and shows what a text holds as text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.answers import LABELS, report, rows, sure
from tests.support.builders import manifest
from triagem.trainer.assess import assess
from triagem.trainer.charts import FRAME, Chart, charts, curve
from triagem.trainer.page import MOST_MISTAKES, page
from triagem.trainer.report import Assessment, Point

VOID = {"meta", "link", "img", "br", "hr", "input", "line", "circle", "rect", "polyline"}
CURVES = (Point(10, 0.7, 1e-5, None), Point(20, 0.5, 5e-5, 0.8), Point(30, None, None, 0.9))


class Tree(HTMLParser):
    """Tags with their attributes, and the text between them; notes a tag that was not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def shown(made: Assessment) -> Tree:
    return Tree(page(made, manifest()))


def test_every_tag_is_closed_in_order() -> None:
    assert shown(report(curves=CURVES, notes=("a note",))).open == []


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    html = page(report(curves=CURVES), manifest())
    tags = Tree(html).tags

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in tags)
    assert not [name for _, attributes in tags for name in attributes if name in {"src", "href"} or name[:2] == "on"]
    assert not re.search(r"https?:|url\(|@import", html)
    assert ("http-equiv", "Content-Security-Policy") in [
        item for _, attributes in tags for item in attributes.items()
    ]


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{ 7 * 7 }}"


@pytest.mark.parametrize("place", ["text", "label", "lang", "note", "base"])
def test_what_a_text_or_a_name_holds_shows_as_text(place: str) -> None:
    labels = ("suporte", HOSTILE) if place == "label" else LABELS
    lang = HOSTILE if place == "lang" else "pt"
    text = HOSTILE if place == "text" else "um"
    note = HOSTILE if place == "note" else ""
    made = assess(rows(text, "dois", labels=labels, lang=lang), labels, sure(0.9, 0.8), notes=(note,))
    tree = Tree(page(made, manifest(base=HOSTILE if place == "base" else "bert")))

    assert {"script", "img"}.isdisjoint(tag for tag, _ in tree.tags)
    assert HOSTILE in "".join(tree.words)


def test_a_long_text_is_shortened_and_many_mistakes_are_counted() -> None:
    number = MOST_MISTAKES + 20
    made = assess(rows(*["palavra " * 100] * number, labels=("suporte",)), LABELS, sure(*[0.9] * number))
    words = "".join(shown(made).words)

    assert words.count("palavra palavra") < number * 40
    assert words.count("…") == MOST_MISTAKES
    assert f"{number} of {number} rows; the first {MOST_MISTAKES}" in words


def test_a_model_that_does_not_beat_the_baseline_is_told_in_a_box_of_its_own() -> None:
    assert ("p", {"class": "warn"}) in shown(report()).tags
    assert ("p", {"class": "warn"}) not in shown(report(baseline=None)).tags


def test_every_chart_has_a_name_and_curves_are_drawn_where_they_were_kept() -> None:
    with_curves = [chart.title for chart in charts(report(curves=CURVES))]
    without = [chart.title for chart in charts(report())]

    assert without == ["Reliability", "Confidence", "Risk and coverage"]
    assert [title for title in with_curves if title not in without] == [
        "Loss in training",
        "Learning rate",
        "Accuracy on the rows that choose the checkpoint",
    ]
    named = [
        attributes.get("aria-label") or "" for tag, attributes in shown(report(curves=CURVES)).tags if tag == "svg"
    ]
    assert [name.partition(":")[0] for name in named] == with_curves


def within_its_frame(chart: Chart) -> None:
    for x, y in [point for shape in chart.shapes for point in shape.points]:
        assert FRAME.left - 1 <= x <= FRAME.right + 1, chart.title
        assert FRAME.top - 1 <= y <= FRAME.bottom + 1, chart.title
    for ticks, low, high in ((chart.x_ticks, FRAME.left, FRAME.right), (chart.y_ticks, FRAME.top, FRAME.bottom)):
        assert {ticks[0].at, ticks[-1].at} == {low, high}
        assert len({tick.text for tick in ticks}) == len(ticks) <= 8


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_charts_of_answers_stay_in_their_frame(venda: list[float]) -> None:
    for chart in charts(assess(rows(*map(str, venda)), LABELS, sure(*venda))):
        within_its_frame(chart)


@given(st.lists(st.builds(Point, st.integers(0, 10_000), st.floats(0, 10), st.none(), st.none()), min_size=1))
def test_a_curve_stays_in_its_frame(points: list[Point]) -> None:
    chart = curve(points, "loss", "Loss")

    assert chart
    within_its_frame(chart)
