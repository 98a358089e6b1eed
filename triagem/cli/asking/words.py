"""What a reviewer reads during a session, in English and in Brazilian Portuguese."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from triagem.cli.asking.langs import Lang
from triagem.db.reviews import Missed
from triagem.gateway.console.keys import Act


@dataclass(frozen=True, slots=True)
class Words:
    """Everything that a session says."""

    welcome: str
    acts: Mapping[Act, str]
    keys: Mapping[str, str]
    missed: Mapping[Missed, str]
    written: str
    more: str
    saved: str
    unclear: str
    taken_back: str
    nothing_to_take_back: str
    cannot_be_taken_back: str
    skipped: str
    no_such_key: str
    again: str
    none_left: str
    done: str


_WORDS: Final = {
    Lang.EN: Words(
        welcome="Which label fits the text? An answer holds at once; Ctrl-C ends, and nothing is lost.",
        acts={
            Act.UNCLEAR: "can't tell",
            Act.BACK: "back, take back the last one",
            Act.SKIP: "skip",
            Act.MORE: "whole text",
            Act.QUIT: "quit",
        },
        keys={" ": "space", "\x7f": "backspace"},
        missed={
            Missed.CHANGED: "Not saved: the customer has changed this text since. It comes again as it is now.",
            Missed.GONE: "Not saved: this ticket is gone, or the customer asked to be forgotten.",
        },
        written="written {when:%Y-%m-%d %H:%M}",
        more="… and {count} more characters",
        saved="saved: {label}",
        unclear="saved: can't tell",
        taken_back="taken back",
        nothing_to_take_back="nothing to take back",
        cannot_be_taken_back="that one cannot be taken back any more",
        skipped="skipped; it comes again later",
        no_such_key="this key means nothing here",
        again="Not saved, the database does not answer. Try again.",
        none_left="No more texts to review now.",
        done="Labelled: {labelled}. Unclear: {unclear}. Skipped: {skipped}.",
    ),
    Lang.PT: Words(
        welcome="Qual etiqueta serve para o texto? A resposta vale na hora; Ctrl-C encerra e nada se perde.",
        acts={
            Act.UNCLEAR: "não dá para saber",
            Act.BACK: "voltar, desfazer a última",
            Act.SKIP: "pular",
            Act.MORE: "texto inteiro",
            Act.QUIT: "sair",
        },
        keys={" ": "espaço", "\x7f": "backspace"},
        missed={
            Missed.CHANGED: "Não foi salvo: o cliente mudou este texto. Ele volta como está agora.",
            Missed.GONE: "Não foi salvo: este ticket não existe mais, ou o cliente pediu para ser esquecido.",
        },
        written="escrito em {when:%d/%m/%Y %H:%M}",
        more="… e mais {count} caracteres",
        saved="salvo: {label}",
        unclear="salvo: não dá para saber",
        taken_back="desfeito",
        nothing_to_take_back="nada a desfazer",
        cannot_be_taken_back="essa resposta não pode mais ser desfeita",
        skipped="pulado; volta mais tarde",
        no_such_key="esta tecla não faz nada aqui",
        again="Não foi salvo, o banco de dados não responde. Tente de novo.",
        none_left="Não há mais textos para revisar agora.",
        done="Etiquetados: {labelled}. Sem resposta: {unclear}. Pulados: {skipped}.",
    ),
}


def words(lang: Lang) -> Words:
    """What a session says in a language."""
    return _WORDS[lang]
