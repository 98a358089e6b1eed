"""The page of a report: one file that fetches nothing, and shows what a text holds as text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest
from triagem.trainer.assess import assess
from triagem.trainer.charts import FRAME, Chart, charts, curve_chart
from triagem.trainer.html_report import MAX_MISTAKES, render_html
from triagem.trainer.report import Assessment, CurvePoint

VOID = {"meta", "link", "img", "br", "hr", "input", "line", "circle", "rect", "polyline"}
CURVES = (CurvePoint(10, 0.7, 1e-5, None), CurvePoint(20, 0.5, 5e-5, 0.8), CurvePoint(30, None, None, 0.9))


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
    return Tree(render_html(made, manifest()))


def test_every_tag_is_closed_in_order() -> None:
    assert shown(report(curves=CURVES, notes=("a note",))).open == []


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render_html(report(curves=CURVES), manifest())
    tags = Tree(html).tags

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in tags)
    assert not [name for _, attributes in tags for name in attributes if name in {"src", "href"} or name[:2] == "on"]
    assert not re.search(r"https?:|url\(|@import", html)
    assert ("http-equiv", "Content-Security-Policy") in [
        item for _, attributes in tags for item in attributes.items()
    ]


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{ 7 * 7 }}"


@pytest.mark.parametrize("place", ["text", "label", "lang", "note", "base"])
def test_markup_in_a_text_or_name_is_shown_as_text(place: str) -> None:
    labels = ("suporte", HOSTILE) if place == "label" else LABELS
    lang = HOSTILE if place == "lang" else "pt"
    text = HOSTILE if place == "text" else "um"
    note = HOSTILE if place == "note" else ""
    made = assess(rows(text, "dois", labels=labels, lang=lang), labels, sure(0.9, 0.8), notes=(note,))
    tree = Tree(render_html(made, manifest(base=HOSTILE if place == "base" else "bert")))

    assert {"script", "img"}.isdisjoint(tag for tag, _ in tree.tags)
    assert HOSTILE in "".join(tree.words)


def test_a_long_text_is_shortened_and_many_mistakes_are_counted() -> None:
    number = MAX_MISTAKES + 20
    made = assess(rows(*["palavra " * 100] * number, labels=("suporte",)), LABELS, sure(*[0.9] * number))
    words = "".join(shown(made).words)

    assert words.count("palavra palavra") < number * 40
    assert words.count("…") == MAX_MISTAKES
    assert f"{number} of {number} rows; the first {MAX_MISTAKES}" in words


def test_a_model_that_does_not_beat_the_baseline_gets_a_warning_box() -> None:
    assert ("p", {"class": "warn"}) in shown(report()).tags
    assert ("p", {"class": "warn"}) not in shown(report(baseline=None)).tags


def test_every_chart_has_a_name_and_curves_are_drawn_if_recorded() -> None:
    with_curves = [chart.title for chart in charts(report(curves=CURVES))]
    without = [chart.title for chart in charts(report())]

    assert without == ["Reliability", "Confidence", "Risk and coverage"]
    assert [title for title in with_curves if title not in without] == [
        "Training loss",
        "Learning rate",
        "Dev accuracy",
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


@given(st.lists(st.builds(CurvePoint, st.integers(0, 10_000), st.floats(0, 10), st.none(), st.none()), min_size=1))
def test_a_curve_stays_in_its_frame(points: list[CurvePoint]) -> None:
    chart = curve_chart(points, "loss", "Loss")

    assert chart
    within_its_frame(chart)
