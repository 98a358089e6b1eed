"""Properties of text cleaning for any text: linear time, idempotent, never empty, one line in NFC."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triagem.contracts.text import clean

DISCLAIMER_EN = (
    "CONFIDENTIALITY NOTICE: This e-mail and any attachments are confidential and intended solely\n"
    "for the addressee. If you have received it in error, please delete it."
)


HOSTILE = [
    ("", "<"), ("", "<a"), ("", "</"), ("", "<!--"), ("", "<a hrefhref"), ("<a ", "href"),
    ("", "\u200b"), ("", "a\u0301"), ("<p>", "<p "), ("<p>", '<p x=" >" y '), ("<p>", "<style>"),
    ("<p>", "</style "), ("<p>", "<div>"), ("<p>", "&#9"), ("<p>", "<blockquote><div>"),
    ("x\n", "\nOn"), ("x\n", "\nOn 1 2026 1:10"), ("x\nOn ", "2026 1:10 wrote"),
    ("x\n", "\nx@y> escreveu"), ("x\n", "x<y> escreveu"), ("x\n", "> a\nb:\n"),
    ("fwd:" + "\n a" * 15, "\nb:\n> a"), ("x\n", "From: a\nSent: b\n"), ("x\nFrom: ", "a\n"), ("x\n", "--"),
    ("x\n", "-- \n"), ("x\n", "Att,\nA\n"), ("x\n", "Att, "), ("x\nAtt, ", "aaaa"),
    ("x\n", "This email is confidential\n"), ("x\n", "sent from my phone "), ("x\n", "\n"),
    ("x\n", "\r"), ("a", "\u0301\u0323"), ("", "&amp;"), ("&", "amp;"), ("=C3=A3", "=\n"), ("", "a\\"),
    ("x\n.", "\\n"), ("x\n", "https://a.safelinks.protection.outlook.com/?url="), ("", "[cid:a"),
    ("Re: x\n", "> a\n"),
    ("x\n", "I need:\n> a\n"), ("Re: x\n", "De: a\n@\n"), ("x\n", "From: a@b.c\nSent: 1 10:00\nTo: b\nSubject: c\n"),
    ("Re: x\n\n", "On 1/1/2026 1:10, A\n"), ("x\n", "a@b <a@b.c>:\n> x\n"), ("re: ", "re: "), ("re", " "),
    ("&lt;a", "&lt;/"), ("<p>", "<img alt="), ("x\n", "Sent from my Galaxy Galaxy\n"), ("", "\u200c\u0633"),
    ("x\n", "Att,\nAna\n(11) 5555-0000\n"), ("x\n", "Em 2026 1:10 " + "Aa " * 60 + "\n"),
]  # fmt: skip


@pytest.mark.parametrize(("start", "unit"), HOSTILE, ids=map(repr, HOSTILE))
def test_a_hostile_text_of_the_largest_size_comes_to_an_end(start: str, unit: str) -> None:
    """Linear rules take 0.2 s where this was written, a quadratic rule 5 s or more, an exponential one forever."""
    text = start + unit * (100_000 // len(unit))
    assert len(clean(text)) <= 2 * len(text)


def test_fifty_thousand_nested_quotes_end_where_they_close() -> None:
    nested = "<blockquote type=cite>" * 50_000 + "old" + "</blockquote>" * 50_000
    assert clean(f"Re: x\n<div>{nested}new") == "Re: x new"


PIECES = [
    "<p>", "</p>", "<br>", "<div class=gmail_quote>", "</div>", "<blockquote>", "</blockquote>",
    "<style>", "</style>", "<!--", "-->", "<a href=x>", "&lt;", "&gt;", "&nbsp;", "&#8203;", "<", ">",
    "\n> ", "p>", "-- ", "\n-- \n", "--\n", "\nAtt,\n", "\nAna Lima", "\nSent from my iPhone\n",
    "\n-----Original Message-----\n", "\n---- Forwarded message",
    "\nOn 2 Sep 2026 at 15:14, A wrote:\n", "\nFrom: a\nSent: b\nTo: c\nSubject: d\n", DISCLAIMER_EN,
    "&amp;", "amp;", "lt;", "&#38;", "&nbsp", ";", "=C3=A3", "=C3=\n", "=3D", "C3", "A3", "\\n", "\\r\\n", "C:\\",
    "\\", "[cid:", "a]", "[image: a.png]", "https://a.safelinks.protection.outlook.com/?url=", "https%3A%2F%2Fa.b",
    "&data=", "\u200c", "\u200d", "\u0633", "\u0344", "\nA <a@b.example> wrote:\n", "\nSent from my Galaxy\n",
    "\nVirus-free. www.avg.com\n", "\nDe: a <a@b.example>\nEnviada: 1/1/2026 10:00\nPara: b\nAssunto: c\n\n", "Re: ",
    "\nI need:\n", "\nOi,\n", "<section>", "<div class=gmail_signature>", "<img alt=\U0001f600>", "\n_____\n",
    "Fwd: ", "x", "\u200b", "\u0301", "\u0338", "\x85", "\x00", "\n", "\r\n", " ", "\ud800", "\u212a",
]  # fmt: skip


MAILS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=25).map("".join)


ANYTHING = st.one_of(MAILS, st.text(st.characters(exclude_categories=())))


@given(ANYTHING)
@example("&lt;p&gt;<br>")
@example("<br>&lt;&#8203;p&gt;")
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@given(ANYTHING)
@example("<p></p>")
def test_a_message_with_a_visible_character_is_never_emptied(text: str) -> None:
    visible = any(unicodedata.category(char)[0] in "LNPS" for char in text)
    assert clean(text) or not visible


@given(ANYTHING)
def test_what_comes_out_is_one_line_of_nfc_without_controls(text: str) -> None:
    out = clean(text)
    assert not {unicodedata.category(char) for char in out} & {"Cc", "Cs", "Zl", "Zp"}
    assert out == " ".join(out.split())
    assert unicodedata.is_normalized("NFC", out)
    assert not set(out) & set("\u00ad\u200b\u2060\ufeff")
    assert not re.search("[\u200c\u200d](?![\u0620-\u08ff\u0900-\u0dff])", out)


SUBJECTS = st.one_of(
    st.sampled_from(["Sent from my iPhone", "-- ", "> x", "Att, Ana", "-----Original Message-----"]),
    st.text(st.characters(exclude_characters="<")).map(lambda text: " ".join(text.split())),
)


@given(SUBJECTS, MAILS)
def test_a_first_line_in_front_of_any_body_is_kept(subject: str, body: str) -> None:
    assert clean(f"{subject}\n{body}").startswith(clean(subject))
