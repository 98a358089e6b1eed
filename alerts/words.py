"""What messages say, in English and in Brazilian Portuguese."""

from collections.abc import Mapping
from typing import Any, Final

from alerts.settings import Language

# English has the line that whoever raised the alert wrote of it (`says`); Portuguese makes one of its figures.
_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "one": "1 ticket that a person should look at",
        "many": "{tickets} tickets that a person should look at",
        "events": "{events} messages from the system",
        "event": "1 message from the system",
        "least": "Least sure:",
        "doubt": "{label}, {confidence} sure ({band})",
        "more": "and {more} more: `triagem alerts list`",
        "test": "A test: messages of the rule {rule} arrive here.",
        "review": "review",
        "abstain": "unlike its training data",
        "drift": "drift",
        "retraining-due": "retraining is due",
        "run-ended": "a run has ended",
    },
    "pt-BR": {
        "one": "1 ticket que alguém deve conferir",
        "many": "{tickets} tickets que alguém deve conferir",
        "events": "{events} avisos do sistema",
        "event": "1 aviso do sistema",
        "least": "Os menos certos:",
        "doubt": "{label}, {confidence} de certeza ({band})",
        "more": "e mais {more}: `triagem alerts list`",
        "test": "Um teste: as mensagens da regra {rule} chegam aqui.",
        "review": "conferir",
        "abstain": "diferente dos dados de treino",
        "drift": "mudança nos dados",
        "retraining-due": "hora de treinar de novo",
        "run-ended": "terminou uma reclassificação",
    },
}
_SAYS: Final[Mapping[str, str]] = {
    "drift": "a versão {version} foi feita para outros tickets; veja `triagem drift`",
    "retraining-due": "a versão {version} pede um novo treino ({trigger}); veja `triagem due`",
    "run-ended": "versão {version}: {flips} tickets mudaram de rótulo",
}


def word(language: Language, key: str, **values: object) -> str:
    """A phrase with its values."""
    return _WORDS[language][key].format(**values)


def says(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """One line about an alert of the system. In English if there is none in the other language."""
    try:
        return _SAYS[kind].format(**detail) if language == "pt-BR" else str(detail["says"])
    except KeyError:
        return str(detail.get("says", ""))
