"""The language of a text: the one that is named, else the one it looks like, else none."""

from importlib.util import find_spec

import pytest

from triagem.engine.language import language


@pytest.mark.parametrize(("named", "said"), [("pt", "pt"), ("pt-BR", "pt"), ("EN_us", "en"), (" spa ", "spa")])
def test_what_is_named_counts(named: str, said: str) -> None:
    assert language("the customer writes English", named) == said


@pytest.mark.skipif(find_spec("py3langid") is None, reason="py3langid is not installed")
@pytest.mark.parametrize("named", [None, "", "Português (Brasil)", 7])
def test_what_is_no_code_does_not_count(named: object) -> None:
    assert language("minha internet caiu de novo e ninguém atende", named) == "pt"


@pytest.mark.skipif(find_spec("py3langid") is None, reason="py3langid is not installed")
@pytest.mark.parametrize("text", ["", "4711", "???"])
def test_a_text_without_words_is_in_no_language(text: str) -> None:
    assert language(text) == ""
