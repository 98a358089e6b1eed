"""Texts in which a model could judge nothing get no decision, with the reason; all others are judged."""

# ruff: noqa: RUF001

import json
from pathlib import Path

import pytest

from triagem.contracts.abstain import AbstainReason, abstain_reason
from triagem.contracts.text import clean

EXAMPLES = Path(__file__).parents[2] / "examples"


def reason(text: str) -> AbstainReason | None:
    """The reason for a text as a worker finds it."""
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
        "sim",
        "não",
        "cancelar",
        "Perfeito, pode mandar",
        "Great, send it over please",
        "oi boa tarde queria um orçamento",
        "Bom dia, a internet caiu",
        "Obrigado, mas o boleto não chegou",
        "how do I set up an out of office reply?",
        "O produto 小米 chegou quebrado",
        "𝐏𝐑𝐎𝐌𝐎𝐂̧𝐀̃𝐎 ainda vale?",
        "veja https://loja.example.com/produto/123",
        "5G?! aqui não pega",
    ],
)
def test_a_text_with_a_request_is_judged(text: str) -> None:
    assert reason(text) is None


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_every_sample_message_is_judged(name: str) -> None:
    prompts = [json.loads(line)["prompt"] for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]

    assert [text for text in prompts if reason(text)] == []
