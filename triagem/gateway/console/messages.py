"""The console's texts in English and Brazilian Portuguese, one per line. Terms follow docs/reference/glossary.md."""

from enum import StrEnum
from typing import Final

from triagem.gateway.console.error_messages import ERROR_MESSAGES
from triagem.gateway.console.model_messages import MODEL_MESSAGES
from triagem.gateway.console.preflight_messages import PREFLIGHT_MESSAGES
from triagem.gateway.console.review_messages import REVIEW_MESSAGES
from triagem.gateway.console.start_messages import START_MESSAGES
from triagem.notify.alert_messages import ABSTAIN_REASONS


class Lang(StrEnum):
    """A language of the console."""

    EN = "en"
    PT = "pt"


MESSAGES: Final[dict[str, tuple[str, str]]] = {
    # frame
    "skip_to_content": ("Skip to content", "Ir para o conteúdo"),
    "sections": ("Sections", "Seções"),
    "language": ("Language", "Idioma"),
    "overview": ("Overview", "Visão geral"),
    "review": ("Review", "Revisão"),
    "tickets": ("Tickets", "Tickets"),
    "models": ("Models", "Modelos"),
    "operations": ("Operations", "Operações"),
    "log_out": ("Log out", "Sair"),
    "unknown_parameters": (
        "Parameters that this page does not know: {names}",
        "Parâmetros que esta página não conhece: {names}",
    ),
    "source": ("Source", "Origem"),
    "ticket": ("Ticket", "Ticket"),
    "label": ("Label", "Categoria"),
    "confidence": ("Confidence", "Confiança"),
    "band": ("Band", "Faixa"),
    "received": ("Received", "Recebido em"),
    "version": ("Version", "Versão"),
    "when": ("When", "Quando"),
    "reviewer": ("Reviewer", "Revisor"),
    "band_automate": ("Automatic", "Automática"),
    "band_review": ("Needs review", "Para revisão"),
    "band_abstain": ("No decision", "Sem decisão"),
    **{f"abstain_{reason}": texts for reason, texts in ABSTAIN_REASONS.items()},
    "unclear": ("Can't tell", "Não dá para saber"),
    # login
    "log_in": ("Log in", "Entrar"),
    "enter_as": ("This link logs you in as {name}.", "Este link inicia uma sessão como {name}."),
    "enter": ("Enter", "Entrar"),
    "your_key": ("Your API key", "Sua chave de API"),
    "key_hint": (
        "Ask an administrator for one: “triagem keys create YOUR-NAME --scope read --scope review”.",
        "Peça uma ao administrador: “triagem keys create SEU-NOME --scope read --scope review”.",
    ),
    "link_ended": (
        "This login link was already used or has expired. “triagem start --link” prints a new one, for one login.",
        "Este link de acesso já foi usado ou expirou. “triagem start --link” mostra um novo, para um só acesso.",
    ),
    "no_such_key": ("This key is unknown or was revoked.", "Esta chave não existe ou foi revogada."),
    "session_ended": (
        "Your session has ended. Your last answer or change was not saved.",
        "Sua sessão terminou. A última resposta ou alteração não foi salva.",
    ),
    "key_sees_nothing": (
        "This key can only submit tickets. The console needs the scope read, review or admin.",
        "Esta chave só permite enviar tickets. O console exige a permissão read, review ou admin.",
    ),
    # tickets
    "search": ("Search", "Buscar"),
    "search_hint": ("words in the message, or a part of the id", "palavras da mensagem ou parte do ID"),
    "review_reviewed": ("reviewed", "revisados"),
    "review_open": ("not reviewed", "não revisados"),
    "review_disputed": ("disputed", "com divergência"),
    "review_mine": ("reviewed by me", "revisados por mim"),
    "open_in_crm": ("Open in the CRM", "Abrir no CRM"),
    "any": ("all", "todas"),
    "any_ticket": ("all", "todos"),
    "since": ("From", "De"),
    "until": ("Before", "Antes de"),
    "apply": ("Apply", "Aplicar"),
    "download_csv": ("All as CSV", "Todos em CSV"),
    "clear": ("Clear", "Limpar"),
    "nothing_found": ("No matching tickets.", "Nenhum ticket encontrado."),
    "nothing_yet": (
        "No matches among the newest tickets. Older ones may match.",
        "Nenhum resultado entre os tickets mais recentes. Pode haver resultados entre os mais antigos.",
    ),
    "older": ("Older", "Mais antigos"),
    "newest": ("Newest", "Mais recentes"),
    "reviewed_by": ("by {name}", "por {name}"),
    "reviewed": ("Reviewed", "Revisado"),
    "unclear_by": ("by the model; {name}: can't tell", "do modelo; {name}: não dá para saber"),
    # ticket
    "message": ("Message", "Mensagem"),
    "text_purged_short": ("(text purged)", "(texto apagado)"),
    "text_purged": (
        "The text was deleted because of its age.",
        "O texto foi apagado ao fim do período de retenção.",
    ),
    "result": ("Result", "Resultado"),
    "ticket_unlabelled": ("No result: there was no model.", "Sem resultado: ainda não havia modelo."),
    "ticket_waiting": ("No result yet.", "Ainda sem resultado."),
    "ticket_failed": ("No result: processing failed.", "Sem resultado: o processamento falhou."),
    "unstored_waiting": (
        "This ticket has been waiting in the inbox since {when}. Its page appears when a worker has processed it.",
        "Este ticket aguarda na fila desde {when}. A página dele aparece depois que um worker o processar.",
    ),
    "unstored_failed": (
        "This ticket could not be processed ({when}). The page Operations lists the dead letters.",
        "Este ticket não pôde ser processado ({when}). A página Operações lista as mensagens não processadas.",
    ),
    "no_history": ("No model has classified this ticket.", "Nenhum modelo classificou este ticket."),
    "prediction": ("Model prediction", "Predição do modelo"),
    "probabilities": ("Probabilities", "Probabilidades"),
    "written": ("Written", "Escrito em"),
    "language_unknown": ("(unknown)", "(não identificado)"),
    "tokens": ("Tokens", "Tokens"),
    "truncated": ("cut at the model's limit", "cortado no limite do modelo"),
    "original": ("Original text", "Texto original"),
    "conversation": ("Conversation", "Conversa"),
    "author_customer": ("Customer", "Cliente"),
    "author_agent": ("Agent", "Atendente"),
    "author_bot": ("Bot", "Bot"),
    "edited": ("edited", "editada em"),
    "deleted": ("deleted", "apagada em"),
    "message_deleted": ("This message was deleted.", "Esta mensagem foi apagada."),
    "classified": ("read by the model", "lida pelo modelo"),
    "older_messages": ("older messages not shown: {count}", "mensagens anteriores não exibidas: {count}"),
    "show_older": ("Show older ones", "Mostrar anteriores"),
    "older_rows": ("older entries not shown: {count}", "registros anteriores não exibidos: {count}"),
    "thread_hint": (
        "The label is about the messages that the model has read. Small talk changes nothing.",
        "A categoria se refere às mensagens lidas pelo modelo. Saudações e combinados não mudam nada.",
    ),
    "not_read_quote": ("Quoted message: not read by the model", "Mensagem citada: não lida pelo modelo"),
    "not_read_signature": ("Signature: not read by the model", "Assinatura: não lida pelo modelo"),
    "not_read_disclaimer": ("Disclaimer: not read by the model", "Aviso legal: não lido pelo modelo"),
    "not_read_footer": ("Footer: not read by the model", "Rodapé: não lido pelo modelo"),
    "metadata": ("Metadata from the CRM", "Metadados do CRM"),
    "history": ("History by version", "Histórico por versão"),
    "current": ("current", "atual"),
    "reviews": ("Reviews", "Revisões"),
    "disputed": (
        "Disputed: not more than half of the reviewers agree with the latest review. A third review decides.",
        "Há divergência: no máximo metade dos revisores concorda com a última revisão. Uma terceira revisão decide.",
    ),
    "no_reviews": ("No reviews of this text yet.", "Este texto ainda não foi revisado."),
    "correct": ("Correct the label", "Corrigir a categoria"),
    "saved": ("Saved: {label}", "Salvo: {label}"),
    "saved_existing": (
        "Saved: {label}. This label exists already.",
        "Salvo: {label}. Esta categoria já existe.",
    ),
    "saved_unclear": ("Saved: can't tell", "Salvo: não dá para saber"),
    "rejected_changed": (
        "Not saved: the customer has changed this text. The current text is shown.",
        "Não foi salvo: o cliente alterou este texto. Veja o texto atual.",
    ),
    "rejected_gone": (
        "Not saved: this ticket no longer exists, or it was deleted at the customer's request.",
        "Não foi salvo: este ticket não existe mais ou foi excluído a pedido do cliente.",
    ),
    "zone": ("Time zone: {zone}", "Fuso horário: {zone}"),
    # overview
    "as_of": ("as of {when}, refreshed automatically", "em {when}, atualizado automaticamente"),
    "backlog": ("Backlog", "Tickets na fila"),
    "in_flight": ("in flight", "em processamento"),
    "oldest": ("oldest: {seconds} s", "o mais antigo: {seconds} s"),
    "throughput": ("Throughput", "Vazão"),
    "per_second": ("{rate} tickets/s", "{rate} tickets/s"),
    "measuring": ("measuring …", "medindo …"),
    "drains_in": ("empty in about {minutes} min", "esvazia em cerca de {minutes} min"),
    "workers": ("Workers", "Workers"),
    "no_workers": (
        "no worker answers: start “triagem up” or “triagem worker”; if it runs, see its log, or kill its process",
        "nenhum worker responde: inicie “triagem up” ou “triagem worker”; se ele travou, encerre o processo",
    ),
    "paused": ("paused", "em pausa"),
    "model": ("Model", "Modelo"),
    "no_model": ("none yet: label messages, or train one", "nenhum ainda: classifique mensagens ou treine um"),
    "model_lost": (
        "The model registry has no current version: check TRIAGEM_REGISTRY_URL, or restore its folder.",
        "O registro de modelos não tem versão atual: verifique TRIAGEM_REGISTRY_URL ou restaure a pasta.",
    ),
    "accuracy": ("accuracy", "acurácia"),
    "worker_at work": ("at work", "em atividade"),
    "worker_warming up": ("loading the model", "carregando o modelo"),
    "worker_collecting labels": ("storing tickets until there is a model", "guardando tickets até haver um modelo"),
    "worker_waiting": ("waiting", "em espera"),
    "worker_no sign of life": ("no sign of life", "sem sinal de vida"),
    "unsure_share": ("Confidence below {threshold}", "Confiança abaixo de {threshold}"),
    "unsure_of": (
        "of {count} live tickets: those of the last five minutes, at least the last {least}",
        "de {count} tickets em tempo real: os dos últimos cinco minutos, no mínimo os últimos {least}",
    ),
    "alert_above": ("alert above {limit}", "alerta acima de {limit}"),
    "alarm": ("above the alert limit", "acima do limite de alerta"),
    "labels_over_time": ("Labels over time", "Categorias ao longo do tempo"),
    "histogram": ("Confidence", "Confiança"),
    "last_alerts": ("Latest alerts", "Últimos alertas"),
    "no_alerts": ("No alerts.", "Nenhum alerta."),
    "listed_with_model": (
        "Tickets are listed with their labels once there is a model. Stored messages: {count}.",
        "Os tickets são listados com a categoria assim que houver um modelo. Mensagens guardadas: {count}.",
    ),
    "no_results": ("No ticket has a result yet.", "Nenhum ticket tem resultado ainda."),
    "lane_live": ("live", "em tempo real"),
    "lane_bulk": ("bulk", "em lote"),
    # operations
    "dead_letters": ("Dead letters", "Mensagens não processadas"),
    "no_dead_letters": ("No dead letters.", "Nenhuma mensagem não processada."),
    "ignored_webhooks": ("Webhooks without a ticket", "Webhooks sem ticket"),
    "count": ("Count", "Quantidade"),
    "no_ignored_webhooks": ("No webhook without a ticket.", "Nenhum webhook sem ticket."),
    "file_invalid": (
        "{setting} is invalid, its previous content stays in use: {reason}",
        "{setting} é inválido; o conteúdo anterior continua em uso: {reason}",
    ),
    "lane": ("Lane", "Fila"),
    "attempts": ("Attempts", "Tentativas"),
    "size": ("Bytes", "Bytes"),
    "replay": ("Replay", "Reprocessar"),
    "drop": ("Drop", "Descartar"),
    "replayed": ("{count} replayed.", "Reprocessadas: {count}."),
    "not_replayed": (
        "Nothing replayed: the dead letter cannot be read or no longer exists.",
        "Nada foi reprocessado: a mensagem não pode ser lida ou não existe mais.",
    ),
    "dropped": ("{count} dropped.", "Descartadas: {count}."),
    "alerts": ("Alerts", "Alertas"),
    "audit": ("Who did what", "Quem fez o quê"),
    "no_audit": ("Nothing recorded yet.", "Nada registrado ainda."),
    "actor": ("Who", "Quem"),
    "address": ("Address", "Endereço"),
    "action": ("Action", "Ação"),
    "object": ("Object", "Objeto"),
    "outcome": ("Outcome", "Resultado"),
    "action_login": ("logged in", "entrou"),
    "action_login.refused": ("tried to log in", "tentou entrar"),
    "action_logout": ("logged out", "saiu"),
    "action_key.create": ("created a key", "criou uma chave"),
    "action_key.revoke": ("revoked a key", "revogou uma chave"),
    "action_ticket.forget": ("deleted a ticket", "excluiu definitivamente um ticket"),
    "action_data.delete": ("deleted old data", "apagou dados antigos"),
    "action_dead-letter.replay": ("replayed dead letters", "reprocessou mensagens"),
    "action_dead-letter.drop": ("dropped dead letters", "descartou mensagens"),
    "action_run.start": ("started a run", "iniciou uma execução"),
    "action_run.cancel": ("cancelled a run", "cancelou uma execução"),
    "kind": ("Kind", "Tipo"),
    "about": ("Subject", "Assunto"),
    "delivered": ("Delivered", "Entregue"),
    **ERROR_MESSAGES,
    **MODEL_MESSAGES,
    **PREFLIGHT_MESSAGES,
    **REVIEW_MESSAGES,
    **START_MESSAGES,
}


def translate(lang: Lang, key: str, **values: object) -> str:
    """The message in this language, with its placeholders filled in."""
    message = MESSAGES[key][lang is Lang.PT]
    return message.format(**values) if values else message


def preferred_language(header: str) -> Lang:
    """The most preferred supported language of an `Accept-Language` header; English by default."""
    candidates = []
    for position, part in enumerate(header.split(",")):
        name, _, weight = part.strip().partition(";q=")
        try:
            candidates.append((-float(weight or 1), position, name.lower()[:2]))
        except ValueError:
            continue
    return next((Lang(name) for _, _, name in sorted(candidates) if name in set(Lang)), Lang.EN)
