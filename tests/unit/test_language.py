"""The language of a text: the given one, otherwise the detected one, otherwise none."""

from importlib.util import find_spec

import pytest

from triagem.engine.language import detect_language


@pytest.mark.parametrize(("given", "expected"), [("pt", "pt"), ("pt-BR", "pt"), ("EN_us", "en"), (" spa ", "spa")])
def test_a_given_language_is_used(given: str, expected: str) -> None:
    assert detect_language("the customer writes English", given) == expected


@pytest.mark.skipif(find_spec("py3langid") is None, reason="py3langid is not installed")
@pytest.mark.parametrize("given", [None, "", "Português (Brasil)", 7])
def test_an_invalid_language_code_is_ignored(given: object) -> None:
    assert detect_language("minha internet caiu de novo e ninguém atende", given) == "pt"


@pytest.mark.skipif(find_spec("py3langid") is None, reason="py3langid is not installed")
@pytest.mark.parametrize("text", ["", "4711", "???"])
def test_a_text_without_words_has_no_language(text: str) -> None:
    assert detect_language(text) == ""
