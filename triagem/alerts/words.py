"""What messages say, in English and in Brazilian Portuguese."""

from collections.abc import Mapping
from typing import Any, Final

from triagem.alerts.settings import Language

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
        "unsure-share": "many unsure tickets",
        "error-rate": "many dead letters",
        "latency": "slow",
        "memory": "little memory left",
        "oldest-ticket": "a ticket waits",
        "no-worker": "no worker",
        "open": "since now",
        "resolved": "resolved",
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
        "unsure-share": "muitos tickets incertos",
        "error-rate": "muitos tickets não classificados",
        "latency": "lento",
        "memory": "pouca memória",
        "oldest-ticket": "um ticket espera",
        "no-worker": "nenhum worker",
        "open": "desde agora",
        "resolved": "resolvido",
    },
}
_SAYS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "unsure-share": "{value} of live tickets are unsure, the limit is {limit}",
        "error-rate": "{value} of live tickets became dead letters, the limit is {limit}",
        "latency": "95 of 100 live tickets took up to {value} from put to row, the target is {limit}",
        "memory": "a worker uses {value} of its memory, the limit is {limit}",
        "oldest-ticket": "the oldest live ticket has waited {value}, the limit is {limit}",
        "no-worker": "workers alive: {value}",
    },
    "pt-BR": {
        "unsure-share": "{value} dos tickets `live` são incertos, o limite é {limit}",
        "error-rate": "{value} dos tickets `live` não puderam ser classificados, o limite é {limit}",
        "latency": "95 de cada 100 tickets `live` levaram até {value} da fila ao banco, a meta é {limit}",
        "memory": "um worker usa {value} de sua memória, o limite é {limit}",
        "oldest-ticket": "o ticket `live` mais antigo espera há {value}, o limite é {limit}",
        "no-worker": "workers vivos: {value}",
        "drift": "a versão {version} foi feita para outros tickets; veja `triagem drift`",
        "retraining-due": "a versão {version} pede um novo treino ({trigger}); veja `triagem due`",
        "run-ended": "versão {version}: {flips} tickets mudaram de rótulo",
    },
}
_UNITS: Final[Mapping[str, str]] = {"latency": "{:.3g} s", "oldest-ticket": "{:.0f} s", "no-worker": "{:.0f}"}


def word(language: Language, key: str, **values: object) -> str:
    """A phrase with its values."""
    return _WORDS[language][key].format(**values)


def says(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """One line about an alert of the system: of its figures, else what stands there in English."""
    try:
        return _SAYS[language][kind].format(**detail)
    except KeyError:
        return str(detail.get("says", ""))


def title(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """What an alert of the system is called, and whether it is resolved, where that can be."""
    state = detail.get("state")
    # Another release may have raised it: its name then, rather than no message.
    return _WORDS[language].get(kind, kind) + (f" ({word(language, state)})" if state in {"open", "resolved"} else "")


def state_of(kind: str, state: str, value: float, limit: float) -> dict[str, Any]:
    """What is stored of a window alert: figures for programs, and as people read them."""
    unit = _UNITS.get(kind, "{:.1%}")
    detail = {"state": state, "value": unit.format(value), "limit": unit.format(limit)}
    return {**detail, "figure": value, "says": f"{state}: {says('en', kind, detail)}"}
