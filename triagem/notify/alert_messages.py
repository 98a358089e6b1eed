"""Message texts in English and Brazilian Portuguese. Terms follow docs/reference/glossary.md."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from triagem.contracts.portuguese import COMMAS_AND_POINTS, in_portuguese
from triagem.db.outbox.alerts import OUTAGE_KINDS
from triagem.notify.alert_rules import Language

# Each text in English and in Portuguese.
_Texts = Mapping[str, tuple[str, str]]

# Why a text was left without a decision.
ABSTAIN_REASONS: Final[_Texts] = {
    "automatic": ("automatic message", "mensagem automática"),
    "no-words": ("no words in it", "sem palavras"),
    "greeting": ("only a greeting or thanks", "só uma saudação ou um agradecimento"),
    "unknown-words": ("words unlike the training data", "palavras diferentes das do treinamento"),
    "other-script": ("written in another script", "escrita em outro alfabeto"),
    "other-language": (
        "written in a language that the model did not learn",
        "escrita em um idioma que o modelo não aprendeu",
    ),
}
_PHRASES: Final[_Texts] = {
    "one-ticket": ("1 ticket to review", "1 ticket para revisar"),
    "many-tickets": ("{tickets} tickets to review", "{tickets} tickets para revisar"),
    "more-events": ("{cause}, and {events} more", "{cause}; outros alertas: {events}"),
    "resolved": ("resolved (lasted {lasted}): {title}", "resolvido (durou {lasted}): {title}"),
    "since": ("since {since}", "desde {since}"),
    "started": ("started {since}", "começou em {since}"),
    "runbook": ("  what to do: {link}", "  o que fazer: {link}"),
    "console": ("  console: {link}", "  console: {link}"),
    "least-sure": ("Lowest confidence:", "Menor confiança:"),
    "ticket": ("{label}, {confidence} confidence ({band})", "{label}, confiança de {confidence} ({band})"),
    "more": ("and {more} more: see `triagem alerts list`", "e mais {more}: veja `triagem alerts list`"),
    "test": (
        "Test message: alerts of the rule {rule} arrive here.",
        "Mensagem de teste: os alertas da regra {rule} chegam aqui.",
    ),
    "review": ("needs review", "para revisão"),
    "abstain": ("no decision", "sem decisão"),
    "low-confidence": ("low confidence", "tickets com baixa confiança"),
    "drift": ("data drift", "mudança nos dados (drift)"),
    "retraining-due": ("retraining is due", "hora de retreinar o modelo"),
    "training-ended": ("training ended", "treinamento encerrado"),
    "calibration": ("confidences do not match reviews", "a confiança não corresponde às revisões"),
    "run-ended": ("reclassification ended", "reclassificação encerrada"),
    "unsure-share": ("many low-confidence tickets", "muitos tickets com baixa confiança"),
    "error-rate": ("many dead letters", "muitas mensagens não processadas"),
    "latency": ("high latency", "latência alta"),
    "memory": ("high memory use", "uso de memória alto"),
    "oldest-ticket": ("tickets wait too long", "tickets esperando demais"),
    "no-worker": ("no worker is running", "nenhum worker em execução"),
    "registry": ("the model registry does not answer", "o registro de modelos não responde"),
    "redis": ("Redis does not answer", "o Redis não responde"),
    "postgres": ("Postgres does not answer", "o Postgres não responde"),
    "no-task": ("no background task is completed", "nenhuma tarefa em segundo plano é concluída"),
    **ABSTAIN_REASONS,
}
# What is wrong, as the subject of a message.
_CAUSES: Final[_Texts] = {
    "unsure-share": (
        "{value} of live tickets have low confidence (limit {limit})",
        "{value} dos tickets em tempo real têm baixa confiança (limite: {limit})",
    ),
    "error-rate": (
        "{value} of live tickets became dead letters (limit {limit})",
        "{value} dos tickets em tempo real não puderam ser processados (limite: {limit})",
    ),
    "latency": (
        "live tickets are slow: 95% took up to {value} from enqueue to stored result (target {limit})",
        "tickets em tempo real lentos: 95% levaram até {value} do envio ao resultado (meta: {limit})",
    ),
    "memory": (
        "a worker uses {value} of its memory (limit {limit})",
        "um worker usa {value} da memória (limite: {limit})",
    ),
    "oldest-ticket": (
        "the oldest live ticket has waited {value} (limit {limit})",
        "o ticket mais antigo da fila em tempo real espera há {value} (limite: {limit})",
    ),
    "no-worker": ("no worker alive for {lasted}", "nenhum worker em execução há {lasted}"),
    "registry": (
        "workers have not reached the model registry for {lasted}",
        "os workers não alcançam o registro de modelos há {lasted}",
    ),
    "redis": ("Redis has not answered for {lasted}", "o Redis não responde há {lasted}"),
    "postgres": ("Postgres has not answered for {lasted}", "o Postgres não responde há {lasted}"),
    "no-task": ("background tasks have stopped", "as tarefas em segundo plano pararam"),
}
# What a problem means while it lasts, or the text of an alert without a state.
_EFFECTS: Final[_Texts] = {
    "no-worker": ("tickets wait in Redis, and none is lost", "os tickets esperam no Redis e nenhum se perde"),
    "registry": (
        "workers that continue with the model they have, but cannot load another: {value}",
        "workers que continuam com o modelo carregado, mas não conseguem carregar outro: {value}",
    ),
    "redis": ("no new ticket is accepted meanwhile", "nenhum ticket novo é aceito enquanto isso"),
    "postgres": (
        "tickets wait in Redis meanwhile, and none is lost",
        "os tickets esperam no Redis e nenhum se perde",
    ),
    "no-task": (
        "alerts, deliveries and runs wait: check `triagem ops` and `triagem beat`",
        "alertas, entregas e execuções esperam: verifique `triagem ops` e `triagem beat`",
    ),
    "drift": ("{summary}", "{summary}"),
    "retraining-due": ("{version}: {summary}; see `triagem due`", "{version}: {summary}; veja `triagem due`"),
    "training-ended promoted": (
        "{summary}",
        "a versão {version} agora é a atual; para desfazer: `triagem models rollback`",
    ),
    "training-ended proposed": (
        "{summary}",
        "a versão {version} atende aos critérios e aguarda uma pessoa: `triagem models promote {version}`",
    ),
    "training-ended rejected": (
        "{summary}",
        "a versão {version} não atende aos critérios: `triagem models compare {version}` mostra o motivo",
    ),
    "training-ended failed": (
        "{summary}",
        "o treinamento {training} falhou: `triagem jobs show {training}` mostra o motivo",
    ),
    "calibration": (
        "{summary}",
        "a versão {version} espera {expected} de acertos; {sampled} revisões sorteadas indicam de {low} a {high}",
    ),
    "run-ended": ("{summary}", "{summary}"),
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
    "calibration": "triagemcalibration",
    **dict.fromkeys(("redis", "postgres", "registry"), "triagemstoreunavailable"),
}


def phrase(language: Language, key: str, **values: object) -> str:
    """A phrase with its values filled in; whole numbers are written as the language does."""
    shown = {
        name: local_number(language, f"{value:,}") if isinstance(value, int) else value
        for name, value in values.items()
    }
    return _PHRASES[key][language == "pt-BR"].format(**shown)


def local_number(language: Language, number: str) -> str:
    """A number as the language writes it: `1,234.5%` in English, `1.234,5%` in Portuguese."""
    return number.translate(COMMAS_AND_POINTS) if language == "pt-BR" else number


_TIME_FORMATS: Final[Mapping[Language, str]] = {"en": "%Y-%m-%d %H:%M", "pt-BR": "%d/%m/%Y %H:%M"}


def duration(seconds: float) -> str:
    """A duration in its largest whole unit: `45 s`, `2 min`, `3 h`, `5 d`. The same in both languages.

    A duration is rounded up if at most 1/20 of the unit is missing: a check due after 2 min may run after 119 s.
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if units := int(seconds / size + 0.05):
            return f"{units} {unit}"
    return f"{seconds:.0f} s"


_UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "latency": lambda seconds: f"{seconds:.3g} s" if seconds < 100 else duration(seconds),
    **dict.fromkeys(("no-worker", "registry"), "{:,.0f}".format),
    **dict.fromkeys(("oldest-ticket", *OUTAGE_KINDS), duration),
}


def headline(language: Language, kind: str, detail: Mapping[str, Any]) -> str:
    """The subject of a message about a system alert: its cause, or the note that it is resolved; else its name."""
    # If only another release knows the alert's kind, show the kind itself.
    name = _filled(_PHRASES, language, kind, {}) or kind
    if detail.get("state") == "resolved":
        return phrase(language, "resolved", lasted=detail.get("lasted", "?"), title=name)
    return (detail and _filled(_CAUSES, language, kind, detail)) or name


def describe(language: Language, kind: str, detail: Mapping[str, Any], *, zone: tzinfo = UTC) -> str:
    """Describe a system alert in one line; falls back to the English summary that is stored with it."""
    line, resolved = headline(language, kind, detail), detail.get("state") == "resolved"
    if since := detail.get("since"):
        time = datetime.fromisoformat(since).astimezone(zone).strftime(_TIME_FORMATS[language])
        line += f" ({phrase(language, 'started' if resolved else 'since', since=f'{time} {zone}')})"
    effect = f"{kind} {detail['outcome']}" if "outcome" in detail else kind
    summary = "" if "state" in detail else detail.get("summary")
    more = summary if resolved else _filled(_EFFECTS, language, effect, detail) or summary
    return f"{line}: {more}" if more else line


def system_alert_detail(
    kind: str, state: str, value: float, limit: float, *, since: datetime, now: datetime
) -> dict[str, Any]:
    """The stored detail of a system alert: `figure` for programs, the rest as text for people.

    Args:
        since: when the problem began.
    """
    unit = _UNITS.get(kind, "{:,.1%}".format)
    detail = {
        "state": state,
        "value": unit(value),
        "limit": unit(limit),
        "since": since.isoformat(),
        "lasted": duration((now - since).total_seconds()),
    }
    return {**detail, "figure": value, "summary": headline("en", kind, detail)}


def _filled(texts: _Texts, language: Language, kind: str, detail: Mapping[str, Any]) -> str | None:
    """The kind's text with the detail's values; None if the kind has no text or an older alert lacks a value."""
    names = {"value", "limit", "expected", "low", "high", "sampled"}
    values = {
        name: local_number(language, f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in detail.items()
        if name in names
    }
    if language == "pt-BR" and (summary := in_portuguese(str(detail.get("summary")))):
        values["summary"] = summary
    try:
        return texts[kind][language == "pt-BR"].format(**{**detail, **values})
    except KeyError:
        return None
