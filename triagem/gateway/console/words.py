"""Everything that the console says, in English and in Brazilian Portuguese: one line a saying."""

from enum import StrEnum
from typing import Final


class Lang(StrEnum):
    """A language of the console."""

    EN = "en"
    PT = "pt"


WORDS: Final[dict[str, tuple[str, str]]] = {
    # the frame
    "console": ("console", "console"),
    "skip_to_content": ("Skip to the content", "Ir para o conteúdo"),
    "sections": ("Sections", "Seções"),
    "language": ("Language", "Idioma"),
    "overview": ("Overview", "Visão geral"),
    "review": ("Review", "Revisão"),
    "tickets": ("Tickets", "Tickets"),
    "models": ("Models", "Modelos"),
    "operations": ("Operations", "Operação"),
    "log_out": ("Log out", "Sair"),
    "source": ("CRM", "CRM"),
    "ticket": ("Ticket", "Ticket"),
    "label": ("Label", "Etiqueta"),
    "confidence": ("Confidence", "Confiança"),
    "band": ("Band", "Faixa"),
    "received": ("Received", "Recebido"),
    "version": ("Version", "Versão"),
    "when": ("When", "Quando"),
    "who": ("Who", "Quem"),
    "band_automate": ("sure", "segura"),
    "band_review": ("a person should look", "uma pessoa deve ver"),
    "band_abstain": ("unlike the training data", "diferente dos dados de treino"),
    "unclear": ("can't tell", "não dá para saber"),
    # login
    "log_in": ("Log in", "Entrar"),
    "your_key": ("Your API key", "Sua chave de API"),
    "key_hint": (
        "An administrator makes one: “triagem keys create YOUR-NAME --scope read --scope review”.",
        "Quem administra cria uma: “triagem keys create SEU-NOME --scope read --scope review”.",
    ),
    "no_such_key": ("This key is unknown, or it was revoked.", "Esta chave não existe ou foi revogada."),
    "key_sees_nothing": (
        "This key may only hand in tickets: it needs the scope read, review or admin.",
        "Esta chave só pode enviar tickets: falta o escopo read, review ou admin.",
    ),
    # errors
    "error": ("That did not work", "Não deu certo"),
    "error_403": ("Your key may not do this.", "Sua chave não permite isto."),
    "error_404": ("There is nothing here.", "Não há nada aqui."),
    "error_503": (
        "A server does not answer, or there is no model yet. Nothing is lost; try again in a moment.",
        "Um servidor não responde, ou ainda não há modelo. Nada se perdeu; tente de novo em instantes.",
    ),
    "error_500": ("Something is wrong on our side.", "Algo deu errado do nosso lado."),
    "form_expired": (
        "This form was made for another session. Go back, reload the page and try again.",
        "Este formulário é de outra sessão. Volte, recarregue a página e tente de novo.",
    ),
    "try_again": ("Try again", "Tentar de novo"),
    # tickets
    "search": ("Search", "Buscar"),
    "search_hint": ("words in the message", "palavras da mensagem"),
    "any": ("any", "todas"),
    "since": ("Since", "Desde"),
    "until": ("Before", "Antes de"),
    "apply": ("Show", "Mostrar"),
    "clear": ("Clear", "Limpar"),
    "nothing_found": ("No ticket fits.", "Nenhum ticket corresponde."),
    "nothing_yet": (
        "Nothing among the newest; older ones may fit.",
        "Nada entre os mais novos; veja os antigos.",
    ),
    "older": ("Older", "Mais antigos"),
    "newest": ("Newest", "Mais novos"),
    "reviewed_by": ("by {name}", "por {name}"),
    # one ticket
    "message": ("Message", "Mensagem"),
    "text_purged": ("The text was deleted, as old texts are.", "O texto foi apagado, como os textos antigos."),
    "result": ("Result", "Resultado"),
    "model_said": ("The model said", "O modelo disse"),
    "probabilities": ("Probabilities", "Probabilidades"),
    "written": ("Written", "Escrito"),
    "tokens": ("Tokens", "Tokens"),
    "truncated": ("cut to the model's maximum", "cortado no máximo do modelo"),
    "as_it_came": ("As it came", "Como chegou"),
    "metadata": ("What the CRM sent along", "O que o CRM enviou junto"),
    "history": ("History over versions", "Histórico por versão"),
    "current": ("current", "atual"),
    "reviews": ("Reviews", "Revisões"),
    "no_reviews": ("Nobody has reviewed this text.", "Ninguém revisou este texto."),
    "correct": ("What is it?", "O que é?"),
    "saved": ("Saved: {label}", "Salvo: {label}"),
    "missed_changed": (
        "Not saved: the customer has changed this text since. Here it is as it stands now.",
        "Não foi salvo: o cliente mudou este texto. Aqui está ele como ficou.",
    ),
    "missed_gone": (
        "Not saved: this ticket is gone, or the customer asked to be forgotten.",
        "Não foi salvo: este ticket não existe mais, ou o cliente pediu para ser esquecido.",
    ),
    # overview
    "as_of": ("as of {when}, refreshes by itself", "em {when}, atualiza sozinha"),
    "backlog": ("Waiting", "Esperando"),
    "in_flight": ("in flight", "em andamento"),
    "oldest": ("oldest for {seconds} s", "o mais antigo há {seconds} s"),
    "pace": ("Pace", "Ritmo"),
    "per_second": ("{rate} tickets/s", "{rate} tickets/s"),
    "measuring": ("measuring …", "medindo …"),
    "drains_in": ("drained in {minutes} min", "vazia em {minutes} min"),
    "workers": ("Workers", "Workers"),
    "none_alive": ("none alive: start “triagem worker”", "nenhum vivo: inicie “triagem worker”"),
    "paused": ("paused", "em pausa"),
    "model": ("Model", "Modelo"),
    "no_model": ("none yet: train one", "nenhum ainda: treine um"),
    "since_when": ("since {when}", "desde {when}"),
    "accuracy": ("accuracy", "acurácia"),
    "unsure_share": ("Below {threshold}", "Abaixo de {threshold}"),
    "unsure_of": ("of the newest {count}; the alarm is at 20%", "dos {count} mais novos; o alarme é em 20%"),
    "alarm": ("over the alarm", "acima do alarme"),
    "labels_over_time": ("Labels over time", "Etiquetas ao longo do tempo"),
    "histogram": ("Confidence", "Confiança"),
    "newest_tickets": ("the newest {count} tickets", "os {count} tickets mais novos"),
    "last_alerts": ("Last alerts", "Últimos alertas"),
    "no_alerts": ("No alerts.", "Nenhum alerta."),
    "no_tickets": ("No tickets yet.", "Nenhum ticket ainda."),
    "lane_live": ("live", "ao vivo"),
    "lane_bulk": ("bulk", "em lote"),
    # models
    "trained": ("Trained", "Treinado"),
    "rows": ("Rows", "Linhas"),
    "base": ("Base", "Base"),
    "labels": ("Labels", "Etiquetas"),
    "metrics": ("Figures on the test rows", "Números nas linhas de teste"),
    "confusion": ("Confusion", "Confusão"),
    "true_said": ("true ↓ said →", "verdade ↓ dito →"),
    "reliability": ("Reliability", "Calibração"),
    "reliability_hint": (
        "How many answers of a confidence are right; on the line a confidence means what it says.",
        "Quantas respostas de uma confiança estão certas; na linha, a confiança é exata.",
    ),
    "no_report": ("This version has no report.", "Esta versão não tem relatório."),
    "gate": ("The gate", "O portão"),
    "gate_promote": ("It may take the current version's place.", "Pode tomar o lugar da versão atual."),
    "gate_reject": ("It may not take the current version's place:", "Não pode tomar o lugar da versão atual:"),
    "gate_rows": ("{count} test rows that neither learned from", "{count} linhas de teste que nenhuma aprendeu"),
    "rule": ("Rule", "Regra"),
    "rule_improve": ("better by 0.02, not by chance", "melhor por 0,02, não por acaso"),
    "rule_non_inferior": ("not worse by more than 0.01", "não pior que 0,01"),
    "recall_of": ("recall of {label}", "revocação de {label}"),
    "nll": ("log loss", "perda logarítmica"),
    "promote": ("Make {version} current", "Tornar {version} atual"),
    "promoted": ("{version} is current. Workers swap it in.", "{version} é a atual. Os workers trocam."),
    "not_promoted": ("Nothing changed: the gate says no.", "Nada mudou: o portão diz não."),
    "rollback": ("Go back to the version before", "Voltar à versão anterior"),
    "reason": ("Why", "Por quê"),
    "promotions": ("Promotions", "Promoções"),
    "by_force": ("by force", "à força"),
    # operations
    "runs": ("Runs over stored tickets", "Execuções sobre tickets guardados"),
    "no_runs": ("No runs yet.", "Nenhuma execução ainda."),
    "run": ("Run", "Execução"),
    "state": ("State", "Estado"),
    "progress": ("Progress", "Progresso"),
    "flips": ("Flips", "Trocas"),
    "state_running": ("running", "em execução"),
    "state_done": ("done", "concluída"),
    "state_paused": ("paused", "em pausa"),
    "state_cancelled": ("cancelled", "cancelada"),
    "shadow": ("shadow", "sombra"),
    "dead_letters": ("Dead letters", "Cartas mortas"),
    "no_letters": ("No dead letters.", "Nenhuma carta morta."),
    "lane": ("Lane", "Fila"),
    "attempts": ("Attempts", "Tentativas"),
    "size": ("Bytes", "Bytes"),
    "replay": ("Replay", "Reenviar"),
    "drop": ("Drop", "Descartar"),
    "replayed": ("{count} replayed.", "{count} reenviadas."),
    "not_replayed": ("Nothing to replay: it cannot be read, or it is gone.", "Nada a reenviar: ilegível ou já saiu."),
    "dropped": ("{count} dropped.", "{count} descartadas."),
    "alerts": ("Alerts", "Alertas"),
    "kind": ("Kind", "Tipo"),
    "about": ("About", "Sobre"),
    "delivered": ("Delivered", "Entregue"),
    "not_yet": ("not yet", "ainda não"),
    # review
    "which_label": ("Which label fits?", "Qual etiqueta serve?"),
    "blind": (
        "Unsure texts and some drawn by lot, mixed. What the model said stays hidden, so that it leads nobody.",
        "Textos incertos e alguns sorteados, misturados. O que o modelo disse fica oculto, para não influenciar.",
    ),
    "skip": ("skip", "pular"),
    "undo": ("undo the last one", "desfazer a última"),
    "taken_back": ("Taken back.", "Desfeito."),
    "nothing_to_undo": ("Nothing to take back.", "Nada a desfazer."),
    "none_left": ("No more texts to review now.", "Não há mais textos para revisar agora."),
    "key_space": ("space", "espaço"),
}


def say(lang: Lang, key: str, **values: object) -> str:
    """A saying in a language, with its blanks filled in."""
    saying = WORDS[key][lang is Lang.PT]
    return saying.format(**values) if values else saying


def preferred(header: str) -> Lang:
    """The first language of an `Accept-Language` header that the console speaks; English if there is none."""
    wanted = []
    for place, part in enumerate(header.split(",")):
        name, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), place, name.lower()[:2]))
        except ValueError:
            continue
    return next((Lang(name) for _, _, name in sorted(wanted) if name in set(Lang)), Lang.EN)
