"""Texts that no model can classify get no decision, with a reason. All other texts are classified."""

# ruff: noqa: RUF001

import json
from pathlib import Path

import pytest

from triagem.contracts.abstain import abstain_reason, has_unknown_words, tokens_per_char_limit, unlearned_reason
from triagem.contracts.language import MIN_LIMIT, Probabilities, is_other_language
from triagem.contracts.model import Tokens
from triagem.contracts.prediction import AbstainReason, Thresholds
from triagem.contracts.text import clean
from triagem.engine.language import language_probabilities

EXAMPLES = Path(__file__).parents[2] / "examples"


def reason(text: str) -> AbstainReason | None:
    """The reason that a worker finds for a text."""
    return abstain_reason(text, clean(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4711", "no-words"),
        ("😡😡😡", "no-words"),
        ("\u200b\u200b", "no-words"),
        ("<div><br></div>", "no-words"),
        ("<p>&nbsp;</p>", "no-words"),
        ('<div><img src="https://x.example.com/a.png"></div>', "no-words"),
        ("https://loja.example.com/produto/123", "no-words"),
        ("[cid:image001.png@01DB8C2A.1B2C3D40]", "no-words"),
        ("?", "no-words"),
        ("R$ 1.200,00", "no-words"),
        ("oi", "greeting"),
        ("Oiiii", "greeting"),
        ("Bom dia!", "greeting"),
        ("Olá, tudo bem com vocês?", "greeting"),
        ("obrigado 🙏", "greeting"),
        ("Muito obrigada!!", "greeting"),
        ("Thanks so much", "greeting"),
        ("ok, valeu", "greeting"),
        ("How are you?", "greeting"),
        ("de nada", "greeting"),
        ("opa", "greeting"),
        ("mt obrigado viu", "greeting"),
        ("Cara equipe, bom dia", "greeting"),
        ("oieee", "greeting"),
        ("oi tdo bem", "greeting"),
        ("bomdia", "greeting"),
        ("thx!!", "greeting"),
        ("vlw flw", "greeting"),
        ("obrigada pelo retorno", "greeting"),
        ("thanks a lot for your help", "greeting"),
        ("entendi, combinado", "greeting"),
        ("Re: Chamado 4410\nobrigado", "greeting"),
        ("RES: [Ticket #4410]\nok, muito obrigada!", "greeting"),
        ("kkkkkkkk", "no-words"),
        ("hahahaha", "no-words"),
        ("asdasdasdasd", "no-words"),
        ("كم سعر الباقة السنوية؟", "other-script"),
        ("年間プランはいくらですか？10回線契約したいです", "other-script"),
        ("Πόσο κοστίζει το ετήσιο πακέτο;", "other-script"),
        ("वार्षिक योजना की कीमत क्या है?", "other-script"),
        ("Сколько стоит годовой тариф?", "other-script"),
        ("Automatic reply: I am out of the office until Monday", "automatic"),
    ],
)
def test_a_text_without_anything_to_judge_has_a_reason(text: str, expected: str) -> None:
    assert reason(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "quanto?",
        "how much",
        "nada",
        "kkkk mas a net caiu",
        "sim",
        "não",
        "cancelar",
        "Perfeito, pode mandar",
        "Great, send it over please",
        "oi boa tarde queria um orçamento",
        "Bom dia, a internet caiu",
        "Obrigado, mas o boleto não chegou",
        "Re: Cancelamento\nobrigado",
        "chamado 4410",
        "opa, e o boleto?",
        "muito caro",
        "caro!",
        "top 10 planos",
        "obrigada pelo boleto",
        "how do I set up an out of office reply?",
        "O produto 小米 chegou quebrado",
        "𝐏𝐑𝐎𝐌𝐎𝐂̧𝐀̃𝐎 ainda vale?",
        "veja https://loja.example.com/produto/123",
        "5G?! aqui não pega",
    ],
)
def test_a_text_with_a_request_is_judged(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl", "short_messages.jsonl"])
def test_every_sample_message_is_judged(name: str) -> None:
    prompts = [json.loads(line)["prompt"] for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]

    assert [text for text in prompts if reason(text)] == []


@pytest.mark.parametrize(
    ("kind", "least"),
    [("script", 0.95), ("language", 0.95), ("few-words", 0.8), ("empty", 0.95), ("emoji", 0.95), ("automatic", 0.8)],
)
def test_the_text_alone_shows_nearly_all_out_of_scope_texts(kind: str, least: float) -> None:
    """Runs without a model. Detecting gibberish and code needs a model's tokens (docs/measurements/abstain.py)."""
    lines = (EXAMPLES / "out_of_scope.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [row["prompt"] for row in map(json.loads, lines) if row["kind"] == kind]

    abstained = [text for text in texts if reason(text) or is_other_language(*learned(text))]

    assert len(abstained) >= least * len(texts), set(texts).difference(abstained)


def test_hardly_any_short_message_is_in_another_language() -> None:
    lines = (EXAMPLES / "short_messages.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["prompt"] for line in lines]

    wrong = [text for text in texts if is_other_language(*learned(text))]

    assert len(wrong) <= 0.02 * len(texts), wrong


def learned(text: str) -> tuple[Probabilities, tuple[str, ...], float]:
    """The language evidence of a text, and the languages that a version trained on the sample rows learned."""
    return language_probabilities(clean(text)), ("en", "pt"), MIN_LIMIT


def tokens(count: int, *, truncated: bool = False) -> Tokens:
    """A text of this many tokens, with two special ones."""
    return Tokens([0] * (count + 2), truncated)


GIBBERISH = "asdkj qwoeiu zmxnc qpwoei"
THRESHOLDS = Thresholds(tokens_per_char=0.4, languages=("en", "pt"), other_language=0.95)
STRANGE = {"pt": 0.05, "en": 0.05, "id": 0.3, "pl": 0.3, "de": 0.3}
PORTUGUESE = {"pt": 0.9, "es": 0.1}


@pytest.mark.parametrize(
    ("text", "tokenized", "probabilities", "unknown"),
    [
        (GIBBERISH, tokens(15), STRANGE, True),
        (GIBBERISH, tokens(15), PORTUGUESE, False),
        (GIBBERISH, tokens(9), STRANGE, False),
        (GIBBERISH, tokens(15, truncated=True), STRANGE, False),
        (GIBBERISH, tokens(15), {}, False),
        (GIBBERISH.upper(), tokens(15), STRANGE, False),
        ("asdkj qwo", tokens(9), STRANGE, False),
        ("pedido 123456789", tokens(12), STRANGE, False),
        ("ana@example.com caiu", tokens(12), STRANGE, False),
    ],
)
def test_more_tokens_per_character_in_no_known_language_are_unknown_words(
    text: str, tokenized: Tokens, probabilities: dict[str, float], *, unknown: bool
) -> None:
    assert has_unknown_words(text, tokenized, probabilities, THRESHOLDS) is unknown


def test_a_version_without_a_limit_knows_all_words() -> None:
    assert not has_unknown_words(GIBBERISH, tokens(25), STRANGE, Thresholds(languages=("en", "pt")))


@pytest.mark.parametrize(
    ("text", "tokenized", "reason"),
    [
        ("me liga aí pfv", tokens(6), None),
        ("cotaçao p 50 cx", tokens(8), None),
        ("SM-A155M tela quebrou", tokens(9), None),
        ("lkjhgf poiuyt mnbvcx", tokens(13), "unknown-words"),
        ("no puedo entrar a mi cuenta", tokens(6), "other-language"),
    ],
)
def test_a_model_leaves_what_is_unlike_its_training_rows(
    text: str, tokenized: Tokens, reason: AbstainReason | None
) -> None:
    thresholds = THRESHOLDS.model_copy(update={"tokens_per_char": 0.36})  # of the base e5, on the sample rows

    assert unlearned_reason(text, tokenized, language_probabilities(text), thresholds) == reason


def test_the_limit_leaves_out_one_training_text_in_two_hundred() -> None:
    texts = [f"um texto de {chr(97 + number % 26)}{'a' * (number // 26)}" for number in range(400)]
    counts = [tokens(index % 5 + 1) for index in range(398)] + [tokens(50), tokens(60)]

    limit = tokens_per_char_limit(texts, counts)

    thresholds = Thresholds(tokens_per_char=limit)
    assert (
        sum(has_unknown_words(text, count, STRANGE, thresholds) for text, count in zip(texts, counts, strict=True))
        == 2
    )


def test_few_texts_give_no_limit() -> None:
    assert tokens_per_char_limit(["um texto de treino"] * 199, [tokens(4)] * 199) is None
