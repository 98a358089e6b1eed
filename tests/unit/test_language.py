"""The language of a message, and whether a model learned it. A message of few words has no language."""

import json
from pathlib import Path

import pytest

from triagem.contracts.language import (
    CUSTOMERS,
    DETECTED,
    MIN_LIMIT,
    is_other_language,
    message_language,
    other_language,
    other_language_limit,
    training_languages,
)
from triagem.engine.language import all_language_probabilities, detect_language, language_probabilities

EXAMPLES = Path(__file__).parents[2] / "examples"


def sample_rows(name: str) -> list[dict[str, str]]:
    """The rows of a sample file."""
    return [json.loads(line) for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("given", "expected"), [("pt", "pt"), ("pt-BR", "pt"), ("EN_us", "en"), (" spa ", "spa")])
def test_a_given_language_is_used(given: str, expected: str) -> None:
    assert detect_language("the customer writes English", given) == expected


@pytest.mark.parametrize("given", [None, "", "Português (Brasil)", 7])
def test_an_invalid_language_code_is_ignored(given: object) -> None:
    assert detect_language("minha internet caiu de novo e ninguém atende", given) == "pt"


@pytest.mark.parametrize("text", ["", "4711", "???", "R$ 10"])
def test_a_text_without_words_has_no_language(text: str) -> None:
    assert language_probabilities(text) == {}
    assert message_language({}) == "und"
    assert detect_language(text) == ""


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_nearly_all_sample_messages_get_their_language(name: str) -> None:
    rows = sample_rows(name)

    right = sum(message_language(language_probabilities(row["prompt"])) == row["lang"] for row in rows)

    assert right >= 0.99 * len(rows)


def test_a_batch_of_texts_gets_the_probabilities_of_each_text() -> None:
    texts = [
        "",
        "4711",
        "年間プランはいくらですか",
        "zq",
        "ÇÃO",
        *(row["prompt"] for row in sample_rows("train.jsonl")[:300]),
    ]

    for text, probabilities in zip(texts, all_language_probabilities(texts), strict=True):
        assert probabilities == pytest.approx(language_probabilities(text), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mi internet no funciona desde ayer", "es"),
        ("NECESITO UNA COTIZACIÓN PARA MI EMPRESA", "es"),
        ("je n'arrive pas à me connecter à mon compte", "fr"),
        ("kann mich nicht einloggen", "de"),
        ("non riesco ad accedere al mio account", "it"),
        ("het bedrag is twee keer afgeschreven", "nl"),
        ("Сколько стоит годовой тариф?", "ru"),
        ("年間プランはいくらですか", "ja"),
    ],
)
def test_a_clearly_foreign_message_is_in_another_language(text: str, expected: str) -> None:
    probabilities = language_probabilities(text)

    assert is_other_language(probabilities, CUSTOMERS, MIN_LIMIT)
    assert message_language(probabilities) == expected


@pytest.mark.parametrize(
    "text",
    [
        "net caiu",
        "n consigo logar",
        "QUERO CANCELAR",
        "wifi down",
        "no sms",
        "tela preta",
        "sinistro",
        "tv box",
        "vpn",
        "cnpj mei",
        "iptu 2026",
    ],
)
def test_a_few_words_are_never_in_another_language(text: str) -> None:
    probabilities = language_probabilities(text)

    assert not is_other_language(probabilities, CUSTOMERS, MIN_LIMIT)
    assert message_language(probabilities) in {"pt", "en", "und"}


def test_a_model_of_english_rows_did_not_learn_portuguese() -> None:
    probabilities = language_probabilities("minha internet caiu de novo e ninguém atende")

    assert is_other_language(probabilities, ("en",), MIN_LIMIT)
    assert message_language(probabilities, ("en",), MIN_LIMIT) == "pt"


def test_a_learned_language_is_no_other_language() -> None:
    probabilities = language_probabilities("mi internet no funciona desde ayer")

    assert not is_other_language(probabilities, ("es", "pt"), MIN_LIMIT)
    assert message_language(probabilities, ("es", "pt"), MIN_LIMIT) == "es"


def test_a_version_without_a_limit_abstains_from_no_language() -> None:
    assert not is_other_language({"es": 1.0}, (), None)


def test_two_equally_likely_languages_are_undetermined() -> None:
    assert message_language({"pt": 0.3, "en": 0.25, "es": 0.45}) == "und"


def test_the_training_languages_are_those_of_the_sample_rows() -> None:
    detected = [language_probabilities(row["prompt"]) for row in sample_rows("train.jsonl")]

    assert training_languages(detected) == ("en", "pt")
    assert other_language_limit(detected, ("en", "pt")) == MIN_LIMIT


def test_a_language_of_hardly_any_training_row_is_not_learned() -> None:
    rows = [{"pt": 1.0}] * 98 + [{"en": 0.95}] * 2

    assert training_languages(rows) == ("en", "pt")
    assert training_languages([*rows, {"es": 1.0}, {"fr": 0.5, "it": 0.5}]) == ("pt",)


def test_the_limit_is_above_nearly_all_training_texts() -> None:
    rows = [{"pt": 0.04 - number / 10_000, "es": 0.48, "it": 0.48 + number / 10_000} for number in range(400)]

    limit = other_language_limit(rows, ("pt",))

    assert limit is not None
    assert sum(other_language(row, ("pt",)) > limit for row in rows) == 2


def test_rows_whose_language_nothing_shows_give_no_limit() -> None:
    assert training_languages([{}, {"pt": 0.4}]) == ()
    assert other_language_limit([{}, {"pt": 0.4}], ()) is None


def test_every_detected_language_is_a_code_that_the_detector_knows() -> None:
    assert set(language_probabilities("bom dia")) == set(DETECTED)
