"""Messages of a review session in English and Brazilian Portuguese; terms follow docs/reference/glossary.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from triagem.cli.review_session.names import Language
from triagem.db.reviews import ReviewRejected
from triagem.gateway.console.shortcuts import ReviewAction


@dataclass(frozen=True, slots=True)
class Messages:
    """All messages of a session in one language."""

    welcome: str
    actions: Mapping[ReviewAction, str]
    keys: Mapping[str, str]
    rejected: Mapping[ReviewRejected, str]
    revised: str
    more_text: str
    saved: str
    unclear: str
    undone: str
    nothing_to_undo: str
    cannot_undo: str
    skipped: str
    unknown_key: str
    unavailable: str
    no_more_texts: str
    summary: str


_MESSAGES: Final = {
    Language.EN: Messages(
        welcome="Which label fits the text? Each answer is saved at once; press Ctrl-C to end without losing any.",
        actions={
            ReviewAction.UNCLEAR: "can't tell",
            ReviewAction.UNDO: "undo the last answer",
            ReviewAction.SKIP: "skip",
            ReviewAction.MORE: "show the full text",
            ReviewAction.QUIT: "quit",
            ReviewAction.HELP: "show the keys",
        },
        keys={" ": "space", "\x7f": "backspace"},
        rejected={
            ReviewRejected.CHANGED: "Not saved: the customer has changed this text. The new text will be shown.",
            ReviewRejected.GONE: "Not saved: this ticket no longer exists or was deleted at the customer's request.",
        },
        revised="written {when:%Y-%m-%d %H:%M}",
        more_text="… and {count} more characters",
        saved="saved: {label}",
        unclear="saved: can't tell",
        undone="last answer undone",
        nothing_to_undo="nothing to undo",
        cannot_undo="this answer can no longer be undone",
        skipped="skipped; it will be shown again later",
        unknown_key="this key has no function here",
        unavailable="Not saved: the database does not answer. Try again.",
        no_more_texts="No more texts to review.",
        summary="Labelled: {labelled}. Can't tell: {unclear}. Skipped: {skipped}.",
    ),
    Language.PT: Messages(
        welcome=(
            "Qual é a categoria deste texto? Cada resposta é salva na hora; use Ctrl-C para encerrar sem perder nada."
        ),
        actions={
            ReviewAction.UNCLEAR: "não dá para saber",
            ReviewAction.UNDO: "desfazer a última resposta",
            ReviewAction.SKIP: "pular",
            ReviewAction.MORE: "ver o texto completo",
            ReviewAction.QUIT: "sair",
            ReviewAction.HELP: "mostrar as teclas",
        },
        keys={" ": "espaço", "\x7f": "backspace"},
        rejected={
            ReviewRejected.CHANGED: "Não foi salvo: o cliente alterou este texto. O novo texto será exibido.",
            ReviewRejected.GONE: ("Não foi salvo: este ticket não existe mais ou foi excluído a pedido do cliente."),
        },
        revised="escrito em {when:%d/%m/%Y %H:%M}",
        more_text="… e mais {count} caracteres",
        saved="salvo: {label}",
        unclear="salvo: não dá para saber",
        undone="última resposta desfeita",
        nothing_to_undo="não há nada para desfazer",
        cannot_undo="não é mais possível desfazer esta resposta",
        skipped="pulado; será exibido de novo mais tarde",
        unknown_key="esta tecla não tem função aqui",
        unavailable="Não foi salvo: o banco de dados não responde. Tente de novo.",
        no_more_texts="Não há mais textos para revisar.",
        summary="Com categoria: {labelled}. Não dá para saber: {unclear}. Pulados: {skipped}.",
    ),
}


def messages_for(language: Language) -> Messages:
    """The messages in one language."""
    return _MESSAGES[language]
