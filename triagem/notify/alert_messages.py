"""Message texts in English and Brazilian Portuguese. Terms follow docs/reference/glossary.md."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from triagem.db.outbox.alerts import OUTAGE_KINDS
from triagem.notify.alert_rules import Language

_PHRASES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "one-ticket": "1 ticket to review",
        "many-tickets": "{tickets} tickets to review",
        "more-events": "{cause}, and {events} more",
        "resolved": "resolved after {lasted}: {title}",
        "since": "since {since}",
        "runbook": "  what to do: {link}",
        "console": "  console: {link}",
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
    },
    "pt-BR": {
        "one-ticket": "1 ticket para revisar",
        "many-tickets": "{tickets} tickets para revisar",
        "more-events": "{cause}, e mais {events}",
        "resolved": "resolvido após {lasted}: {title}",
        "since": "desde {since}",
        "runbook": "  o que fazer: {link}",
        "console": "  console: {link}",
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
    },
}
# What is wrong, as the subject of a message.
_CAUSES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "unsure-share": "{value} of live tickets have low confidence (limit {limit})",
        "error-rate": "{value} of live tickets became dead letters (limit {limit})",
        "latency": "live tickets are slow: 95% took up to {value} from enqueue to stored result (target {limit})",
        "memory": "a worker uses {value} of its memory (limit {limit})",
        "oldest-ticket": "the oldest live ticket has waited {value} (limit {limit})",
        "no-worker": "no worker alive for {lasted}",
        "registry": "workers have not reached the model registry for {lasted}",
        "redis": "Redis has not answered for {lasted}",
        "postgres": "Postgres has not answered for {lasted}",
        "no-task": "background tasks have stopped",
    },
    "pt-BR": {
        "unsure-share": "{value} dos tickets em tempo real têm baixa confiança (limite: {limit})",
        "error-rate": "{value} dos tickets em tempo real não puderam ser processados (limite: {limit})",
        "latency": "tickets em tempo real lentos: 95% levaram até {value} do envio ao resultado (meta: {limit})",
        "memory": "um worker usa {value} da memória (limite: {limit})",
        "oldest-ticket": "o ticket mais antigo da fila de tempo real espera há {value} (limite: {limit})",
        "no-worker": "nenhum worker em execução há {lasted}",
        "registry": "os workers não alcançam o registro de modelos há {lasted}",
        "redis": "o Redis não responde há {lasted}",
        "postgres": "o Postgres não responde há {lasted}",
        "no-task": "as tarefas em segundo plano pararam",
    },
}
# What it means meanwhile, or the text of an alert without a state.
_EFFECTS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "no-worker": "tickets wait in Redis, and none is lost",
        "registry": "workers that continue with the model they have, but cannot load another: {value}",
        "redis": "no new ticket is accepted meanwhile",
        "postgres": "tickets wait in Redis meanwhile, and none is lost",
        "no-task": "alerts, deliveries and runs wait: check `triagem ops` and `triagem beat`",
    },
    "pt-BR": {
        "no-worker": "os tickets esperam no Redis e nenhum se perde",
        "registry": "workers que continuam com o modelo carregado, mas não conseguem carregar outro: {value}",
        "redis": "nenhum ticket novo é aceito enquanto isso",
        "postgres": "os tickets esperam no Redis e nenhum se perde",
        "no-task": "alertas, entregas e execuções esperam: verifique `triagem ops` e `triagem beat`",
        "drift": "as mensagens recentes diferem dos dados da versão {version}; veja `triagem drift`",
        "retraining-due": "a versão {version} precisa de um novo treinamento ({trigger}); veja `triagem due`",
        "run-ended": "versão {version}: {flips} tickets mudaram de categoria",
    },
}
# Sections of docs/how-to/runbook.md.
RUNBOOK_SECTIONS: Final[Mapping[str, str]] = {
    "unsure-share": "triagemconfidencelow",
    "error-rate": "triagemerrorshigh",
    "latency": "triagemlatencyhigh",
    "memory": "triagemmemoryhigh",
    "oldest-ticket": "triagemoldestticket",
    "no-worker": "triagemnoworker",
    "no-task": "triagemnotaskcompleted",
    "drift": "triagemdrift",
    **dict.fromkeys(("redis", "postgres", "registry"), "triagemstoreunavailable"),
}


def phrase(language: Language, key: str, **values: object) -> str:
    """A phrase with its values filled in."""
    return _PHRASES[language][key].format(**values)


def duration(seconds: float) -> str:
    """A duration in its largest whole unit: `45 s`, `2 min`, `3 h`, `5 d`. The same in both languages.

    What lacks at most a twentieth of a unit counts as whole: the check after two minutes may come after 119 s.
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if units := int(seconds / size + 0.05):
            return f"{units} {unit}"
    return f"{seconds:.0f} s"


_UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "latency": "{:.3g} s".format,
    "no-worker": "{:.0f}".format,
    "registry": "{:.0f}".format,
    **dict.fromkeys(("oldest-ticket", *OUTAGE_KINDS), duration),
}


def headline(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """The cause of a system alert, or that it is resolved: the subject of a message about it."""
    # An alert of a kind that only another release knows is shown by its kind.
    name = _PHRASES[language].get(kind, kind)
    if detail.get("state") == "resolved":
        return phrase(language, "resolved", lasted=detail.get("lasted", "?"), title=name)
    return _filled(_CAUSES[language], kind, detail) or name


def describe(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """Describe a system alert in one line; falls back to the English summary that is stored with it."""
    line = headline(language, kind, detail)
    if since := detail.get("since"):
        line += f" ({phrase(language, 'since', since=f'{datetime.fromisoformat(since):%Y-%m-%d %H:%M} UTC')})"
    more = _filled(_EFFECTS[language], kind, detail) if detail.get("state") != "resolved" else None
    if more is None and "state" not in detail:
        more = str(detail.get("summary", ""))
    return f"{line}: {more}" if more else line


def system_alert_detail(
    kind: str, state: str, value: float, limit: float, *, since: datetime, now: datetime
) -> dict[str, Any]:
    """The stored detail of a system alert: `figure` for programs, the rest as text for people.

    Args:
        since: since when the problem has lasted.
    """
    unit = _UNITS.get(kind, "{:.1%}".format)
    lasted = duration((now - since).total_seconds())
    detail = {
        "state": state,
        "value": unit(value),
        "limit": unit(limit),
        "since": since.isoformat(),
        "lasted": lasted,
    }
    return {**detail, "figure": value, "summary": headline("en", kind, detail)}


def _filled(texts: Mapping[str, str], kind: str, detail: Mapping[str, Any]) -> str | None:
    """The kind's text with the detail's values; None if it has no text, or an older alert lacks a value."""
    try:
        return texts[kind].format(**detail)
    except KeyError:
        return None
