"""Message texts in English and Brazilian Portuguese. Terms follow docs/reference/glossary.md."""

from collections.abc import Mapping
from typing import Any, Final

from triagem.db.outbox.alerts import OUTAGE_KINDS
from triagem.notify.alert_rules import Language

_PHRASES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "one-ticket": "1 ticket to review",
        "many-tickets": "{tickets} tickets to review",
        "one-event": "1 system alert",
        "many-events": "{events} system alerts",
        "least-sure": "Lowest confidence:",
        "ticket": "{label}, {confidence} confidence ({band})",
        "more": "and {more} more: see `triagem alerts list`",
        "test": "Test message: alerts of the rule {rule} arrive here.",
        "review": "needs review",
        "abstain": "no decision",
        "automatic": "no decision: automatic message",
        "no-words": "no decision: no words in it",
        "greeting": "no decision: only a greeting or thanks",
        "other-script": "no decision: written in another script",
        "other-language": "no decision: written in a language that the model did not learn",
        "unknown-words": "no decision: words unlike the training data",
        "drift": "data drift",
        "retraining-due": "retraining is due",
        "run-ended": "reclassification ended",
        "unsure-share": "many low-confidence tickets",
        "error-rate": "many dead letters",
        "latency": "high latency",
        "memory": "high memory use",
        "oldest-ticket": "tickets wait too long",
        "no-worker": "no worker is running",
        "registry": "the model registry does not answer",
        "redis": "Redis does not answer",
        "postgres": "Postgres does not answer",
        "no-task": "no background task is completed",
        "open": "open",
        "resolved": "resolved",
    },
    "pt-BR": {
        "one-ticket": "1 ticket para revisar",
        "many-tickets": "{tickets} tickets para revisar",
        "one-event": "1 alerta do sistema",
        "many-events": "{events} alertas do sistema",
        "least-sure": "Menor confiança:",
        "ticket": "{label}, confiança de {confidence} ({band})",
        "more": "e mais {more}: veja `triagem alerts list`",
        "test": "Mensagem de teste: os alertas da regra {rule} chegam aqui.",
        "review": "para revisão",
        "abstain": "sem decisão",
        "automatic": "sem decisão: mensagem automática",
        "no-words": "sem decisão: sem palavras",
        "greeting": "sem decisão: só uma saudação ou um agradecimento",
        "other-script": "sem decisão: escrita em outro alfabeto",
        "other-language": "sem decisão: escrita em um idioma que o modelo não aprendeu",
        "unknown-words": "sem decisão: palavras diferentes das do treinamento",
        "drift": "mudança nos dados (drift)",
        "retraining-due": "hora de retreinar o modelo",
        "run-ended": "reclassificação encerrada",
        "unsure-share": "muitos tickets com baixa confiança",
        "error-rate": "muitas mensagens não processadas",
        "latency": "latência alta",
        "memory": "uso de memória alto",
        "oldest-ticket": "tickets esperando demais",
        "no-worker": "nenhum worker em execução",
        "registry": "o registro de modelos não responde",
        "redis": "o Redis não responde",
        "postgres": "o Postgres não responde",
        "no-task": "nenhuma tarefa em segundo plano é concluída",
        "open": "em aberto",
        "resolved": "resolvido",
    },
}
_DESCRIPTIONS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "unsure-share": "{value} of live tickets have low confidence (limit {limit})",
        "error-rate": "{value} of live tickets became dead letters (limit {limit})",
        "latency": "95% of live tickets took up to {value} from enqueue to stored result (target {limit})",
        "memory": "a worker uses {value} of its memory (limit {limit})",
        "oldest-ticket": "the oldest live ticket has waited {value} (limit {limit})",
        "no-worker": "workers running: {value}",
        "registry": "workers that continue with the model they have, but cannot load another: {value}",
        "redis": "no answer for {value}; no new ticket is accepted meanwhile",
        "postgres": "no answer for {value}; tickets wait in Redis meanwhile, and none is lost",
        "no-task": "for {value}; alerts, deliveries and runs wait: check `triagem ops` and `triagem beat`",
    },
    "pt-BR": {
        "unsure-share": "{value} dos tickets em tempo real têm baixa confiança (limite: {limit})",
        "error-rate": "{value} dos tickets em tempo real não puderam ser processados (limite: {limit})",
        "latency": "95% dos tickets em tempo real levaram até {value} do envio ao resultado (meta: {limit})",
        "memory": "um worker usa {value} da memória (limite: {limit})",
        "oldest-ticket": "o ticket mais antigo da fila de tempo real espera há {value} (limite: {limit})",
        "no-worker": "workers em execução: {value}",
        "registry": "workers que continuam com o modelo carregado, mas não conseguem carregar outro: {value}",
        "redis": "sem resposta há {value}; nenhum ticket novo é aceito enquanto isso",
        "postgres": "sem resposta há {value}; os tickets esperam no Redis e nenhum se perde",
        "no-task": "há {value}; alertas, entregas e execuções esperam: verifique `triagem ops` e `triagem beat`",
        "drift": "as mensagens recentes diferem dos dados da versão {version}; veja `triagem drift`",
        "retraining-due": "a versão {version} precisa de um novo treinamento ({trigger}); veja `triagem due`",
        "run-ended": "versão {version}: {flips} tickets mudaram de categoria",
    },
}
_UNITS: Final[Mapping[str, str]] = {
    "latency": "{:.3g} s",
    "oldest-ticket": "{:.0f} s",
    "no-worker": "{:.0f}",
    "registry": "{:.0f}",
    **dict.fromkeys(OUTAGE_KINDS, "{:.0f} s"),
}


def phrase(language: Language, key: str, **values: object) -> str:
    """A phrase with its values filled in."""
    return _PHRASES[language][key].format(**values)


def describe(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """One line about a system alert; the English summary stored with it if there is no translation."""
    try:
        return _DESCRIPTIONS[language][kind].format(**detail)
    except KeyError:
        return str(detail.get("summary", ""))


def title(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """The title of a system alert, with its state if it has one."""
    state = detail.get("state")
    # An alert of a kind that only another release knows is shown by its kind.
    name = _PHRASES[language].get(kind, kind)
    return name + (f" ({phrase(language, state)})" if state in {"open", "resolved"} else "")


def system_alert_detail(kind: str, state: str, value: float, limit: float) -> dict[str, Any]:
    """The stored detail of a system alert: `figure` for programs, the rest as text for people."""
    unit = _UNITS.get(kind, "{:.1%}")
    detail = {"state": state, "value": unit.format(value), "limit": unit.format(limit)}
    return {**detail, "figure": value, "summary": f"{state}: {describe('en', kind, detail)}"}
