"""The HTML report: one file that loads no other file, and shows a text's markup as text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest
from tests.support.rows import texts
from triagem.contracts.assessment import Assessment, CurvePoint
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.assess import assess
from triagem.trainer.evaluate.html_report import FRAME, MAX_MISTAKES, Chart, charts, curve_chart, render_html

VOID = {"meta", "link", "img", "br", "hr", "input", "line", "circle", "rect", "polyline"}
CURVES = (CurvePoint(10, 0.7, 1e-5, None), CurvePoint(20, 0.5, 5e-5, 0.8), CurvePoint(30, None, None, 0.9))


class ParsedHtml(HTMLParser):
    """Tags with their attributes, and the text between them; `open` lists the tags that were not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
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
        self.texts.append(data)


def rendered(assessment: Assessment) -> ParsedHtml:
    return ParsedHtml(render_html(assessment, manifest()))


def test_every_tag_is_closed_in_order() -> None:
    assert rendered(report(curves=CURVES, notes=("a note",))).open == []


# Names of metrics that both languages use, the base, labels, languages and the text of the mistake.
SHARED = {"ECE", "NLL", "Log loss (NLL)", "F1, macro", "macro-F1", "recall", "Recall, macro", "none", *LABELS,
          ", ".join(LABELS), "en", "pt", "boleto em dobro"}  # fmt: skip


def test_the_page_in_portuguese_has_no_english() -> None:
    notes = ("temperature 1.20, not calibrated: too few different texts (9)", "languages: pt 50%, en 50%",
             "60 training rows (suporte 50%, venda 50%), 9 test rows")  # fmt: skip
    assessment = report(curves=CURVES, notes=notes, leaked=2)
    for other in (assessment, report(curves=CURVES, notes=notes)):
        pages = [ParsedHtml(render_html(other, manifest(), portuguese=portuguese)) for portuguese in (False, True)]
        english, portuguese = (
            {text for text in (*page.texts, *names(page)) if re.search(r"[^\W\d_]{2}", text) and "{" not in text}
            for page in pages
        )

        assert ({text.strip() for text in english} & {text.strip() for text in portuguese}) - SHARED == set()
        assert not any(attributes.get("lang") == "en" for _, attributes in pages[1].tags)
        assert "0.829" not in "".join(pages[1].texts)


def test_a_withheld_text_is_translated_and_no_message_is_announced() -> None:
    reviewed = [Row("meu cartão é 4111", LABELS[0], stratum="random")]
    page = "".join(ParsedHtml(render_html(assess(reviewed, LABELS, sure(0.9)), manifest(), portuguese=True)).texts)

    assert "(ticket revisado, hash " in page
    assert "o hash encontra o ticket: SELECT source, external_id FROM tickets" in page
    assert "mensagens reais" not in page
    assert "100,0%" in page
    quoting = render_html(report(), manifest(), portuguese=True)
    assert "mensagens reais" in quoting
    assert "SELECT" not in quoting


def names(page: ParsedHtml) -> list[str]:
    return [name for _, attributes in page.tags if (name := attributes.get("aria-label"))]


def test_a_note_without_a_translation_is_marked_as_english() -> None:
    page = render_html(report(notes=("a note of another release",)), manifest(), portuguese=True)

    assert '<li lang="en">a note of another release</li>' in page


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render_html(report(curves=CURVES), manifest())
    tags = ParsedHtml(html).tags

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in tags)
    assert not [name for _, attributes in tags for name in attributes if name in {"src", "href"} or name[:2] == "on"]
    assert not re.search(r"https?:|url\(|@import", html)
    assert ("http-equiv", "Content-Security-Policy") in [
        item for _, attributes in tags for item in attributes.items()
    ]


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>{{ 7 * 7 }}"


@pytest.mark.parametrize("field", ["text", "label", "lang", "note", "base"])
def test_markup_in_a_text_or_name_is_shown_as_text(field: str) -> None:
    labels = ("suporte", HOSTILE) if field == "label" else LABELS
    lang = HOSTILE if field == "lang" else "pt"
    text = HOSTILE if field == "text" else "um"
    note = HOSTILE if field == "note" else ""
    assessment = assess(rows(text, "dois", labels=labels, lang=lang), labels, sure(0.9, 0.8), notes=(note,))
    parsed = ParsedHtml(render_html(assessment, manifest(base=HOSTILE if field == "base" else "bert")))

    assert {"script", "img"}.isdisjoint(tag for tag, _ in parsed.tags)
    assert HOSTILE in "".join(parsed.texts)


def test_a_long_text_is_shortened_and_many_mistakes_are_counted() -> None:
    number = MAX_MISTAKES + 20
    long_rows = rows(*(f"{text} " * 30 for text in texts(number)), labels=("suporte",))
    assessment = assess(long_rows, LABELS, sure(*[0.9] * number))
    text = "".join(rendered(assessment).texts)

    assert len(text) < number * 400
    assert text.count("…") == MAX_MISTAKES
    assert f"{number} of {number} rows; the first {MAX_MISTAKES}" in text


def test_a_model_that_does_not_beat_the_baseline_gets_a_warning_box() -> None:
    assert ("p", {"class": "warn"}) in rendered(report()).tags
    assert ("p", {"class": "warn"}) not in rendered(report(baseline=None)).tags


def test_every_chart_has_a_name_and_curves_are_drawn_if_recorded() -> None:
    with_curves = [chart.title for chart in charts(report(curves=CURVES))]
    without_curves = [chart.title for chart in charts(report())]

    assert without_curves == ["Reliability", "Confidence", "Risk and coverage"]
    assert [title for title in with_curves if title not in without_curves] == [
        "Training loss",
        "Learning rate",
        "Dev accuracy",
    ]
    names = [
        attributes.get("aria-label") or "" for tag, attributes in rendered(report(curves=CURVES)).tags if tag == "svg"
    ]
    assert [name.partition(":")[0] for name in names] == with_curves


def assert_within_frame(chart: Chart) -> None:
    for x, y in [point for shape in chart.shapes for point in shape.points]:
        assert FRAME.left - 1 <= x <= FRAME.right + 1, chart.title
        assert FRAME.top - 1 <= y <= FRAME.bottom + 1, chart.title
    for ticks, low, high in ((chart.x_ticks, FRAME.left, FRAME.right), (chart.y_ticks, FRAME.top, FRAME.bottom)):
        assert {ticks[0][0], ticks[-1][0]} == {low, high}
        assert len({text for _, text in ticks}) == len(ticks) <= 8


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_charts_of_answers_stay_in_their_frame(venda: list[float]) -> None:
    for chart in charts(assess(rows(*texts(len(venda))), LABELS, sure(*venda))):
        assert_within_frame(chart)


@given(st.lists(st.builds(CurvePoint, st.integers(0, 10_000), st.floats(0, 10), st.none(), st.none()), min_size=1))
def test_a_curve_stays_in_its_frame(points: list[CurvePoint]) -> None:
    chart = curve_chart(points, "loss", "Loss")

    assert chart
    assert_within_frame(chart)


def test_copies_are_counted_next_to_the_texts() -> None:
    html = render_html(assess(rows("a", "b") * 5, LABELS, sure(0.1, 0.9) * 5), manifest())

    assert "10 test rows (2 different texts)" in html


def test_a_leaked_test_is_marked_above_its_scores() -> None:
    html = render_html(report(leaked=4), manifest())

    assert "4 of 6 test rows are also training rows, or nearly: these scores measure memorization" in html
    assert "memorization" not in render_html(report(), manifest())
