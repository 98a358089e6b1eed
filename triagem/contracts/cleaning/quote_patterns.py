"""Regular expressions that prove quoted mail: lines that mail programs and help desks add above it, in pt, en and es.

Each pattern is bounded, so that a hostile line takes no longer than any other long line. A name says what a match
proves.
"""

import re
from typing import Final


def any_of(*alternatives: str) -> str:
    """The group of these alternatives."""
    return f"(?:{'|'.join(alternatives)})"


# ---- Subject: prefixes of replies and forwarded mail, with tags of gateways and ticket systems between them
PREFIXES: Final = re.compile(
    r"(?i)(?:\s*(?:\[[^\][]{1,60}\]|(?:res?|aw|fwd?|enc|rv|tr|wg|encaminh\w{2,4})(?:[\[(]\d{1,3}[\])])?\.? ?:|"
    r"\(?fwd?\)?\s))+"
)
REPLY: Final = re.compile(r"(?i)\b(?:res?|aw)\b[^:]{0,6}:")
FORWARD: Final = re.compile(r"(?i)\b(?:(?:enc|rv|tr|wg|encaminh\w+)\b[^:]{0,6}:|fwd?\b)")

# ---- Own words that say that the text below belongs to the message
POINTS_BELOW: Final = re.compile(
    r"(?i)\b(?:(?:abaixo|abajo|below)(?! (?:d[eo]|the|zero|\d))|(?:re)?encaminh\w+|reenv[ií]\w+|repass\w+|"
    r"forward(?:ed|ing)?)\b"
    # A note that hands somebody else's mail on, or says where the answers are
    r"|\b(?:fyi|for your (?:information|action)|para (?:su[ao] )?(?:conhecimento|ciência|providências?))\b"
    r"|\bsegu(?:e|em) (?:[oa]s? )?(?:e-?mails?|mensage(?:m|ns)|histórico|conversa|relato|corrente)\b"
    r"|\b(?:vide|ve(?:r|ja|jam)|olhem?|leiam?|atend\w+|trat\w+|verifi\w+) [^.?!\n]{0,30}\bd?[oa]s? "
    r"(?:nosso |nossa )?cliente\b"
    r"|\b(?:e-?mail|mensagem|message) (?:d[oa] (?:nosso |nossa )?cliente|from (?:the|our|a) customer)\b"
    r"|\bo que (?:o|a) [\w ]{1,30} (?:mandou|escreveu|enviou|respondeu)\b"
    r"|\brecebi (?:isto|isso|est[ea] (?:e-?mail|mensagem))\b"
    r"|\b(?:on|from) (?:this|the|our|a) customer\b"
    r"|\b(?:respost\w+|respond\w+|coment\w+|answers?|answered|repl(?:y|ies)|comments?)\b[^.?!\n]{0,30}\b(?:in-?line|"
    r"em (?:azul|vermelho|verde|negrito|maiúsculas|caixa alta)|no (?:corpo|próprio|texto)|"
    r"in (?:red|blue|green|bold|caps|the (?:thread|text|body|mail)))\b"
)

# ---- Attribution lines: an introduction, a date, a time and "wrote", in the forms of mail programs
_END: Final = r" ?(?:[:\uff1a]|-{3,})"
_WROTE: Final = rf"\b(?:wrote|escreveu|escribió|schrieb|a écrit|ha scritto){_END}"
_DATE: Final = r"(?=[^\n]{0,80}(?:\d{1,4}[/.-]\d{1,2}|\b20\d\d\b))"
_WHEN: Final = rf"{_DATE}(?=[^\n]{{0,80}}\d[:h]\d\d)"
_ADDRESS: Final = r"[<(\[] ?(?:mailto:)?[^\s<>()]{1,99}@[^\s<>()]{1,99} ?[>)\]]"
_BY_ADDRESS: Final = rf"{_ADDRESS}[>)\]]{{0,2}} ?"  # people do not write brackets around an address
_NAMES: Final = r"\"?[A-ZÀ-Ý][\wÀ-ÿ.&!-]*(?: (?:d[aeo]s? |via )?[A-ZÀ-Ý][\wÀ-ÿ.&!-]*){0,4}\"?"
_ON: Final = r"(?:-{3,} ?)?(?i:on|em|no dia|el|a|às|le|am|il giorno|ativado)"
ATTRIBUTION: Final = re.compile(
    any_of(
        rf"{_ON} {_WHEN}[^?]{{8,240}}?(?i:{_WROTE})",
        rf"{_ON} (?=[^\n]{{0,80}}\b20\d\d\b)[^?]{{8,200}}?{_BY_ADDRESS}(?i:{_WROTE})",  # without a time
        rf"[^\n<]{{1,99}}{_ADDRESS} escreveu {_WHEN}[^\n?]{{8,80}}:",
        rf"Am {_WHEN}[^?]{{8,80}} schrieb [^?]{{0,80}}?{_BY_ADDRESS}:",
        rf"In a message dated {_WHEN}[^?]{{8,160}} writes:",
        rf"[^\n<(]{{1,99}}{_ADDRESS} (?:schrieb am|escribió el|escreveu (?:em|no dia)) {_WHEN}[^\n?]{{8,80}}:",
        rf"(?:\w{{3}}, )?{_WHEN}\d[\d/., ]{{0,12}}(?:\w{{3,9}} \d{{4}})?[\d/.,: +-]{{4,30}}{_NAMES} {_BY_ADDRESS}:",
    )
)
ONLY_PROGRAMS_WRITE: Final = re.compile(
    rf"{_BY_ADDRESS}(?i:escreveu|escribió|schrieb|:|{_WROTE})|In a message dated "
)
EXACT_ATTRIBUTION: Final = re.compile(  # without an address, or without a date
    any_of(
        rf"{_ON} {_WHEN}[^\n]{{8,60}}?, ?(?:{_NAMES} )?(?:{_NAMES}|[^\s<>@]{{1,60}}@[^\s<>@]{{1,60}}) ?{_WROTE}",
        rf"{_NAMES} wrote on {_WHEN}[\d/.: APM-]{{8,40}}:",
        rf"{_NAMES} {_ADDRESS} {_WROTE}",
        rf"(?:Quoting|Citando) {_NAMES} {_ADDRESS}:",
        rf"20[\d-]{{8}} [^\n<]{{4,60}}{_ADDRESS}:",
    )
)
ADDRESS_AND_COLON: Final = re.compile(rf"(?=.*{_ADDRESS})[^?]{{8,240}}{_END}")
SOMEBODY_WROTE: Final = re.compile(rf"(?i){_WROTE}$")
OWN_ACCOUNT: Final = re.compile(r"\b(?:I|my|me|you|your|eu|recebi|vocês?|seu|sua|mi|su)\b")

# ---- Lines above a quoted or forwarded mail
ORIGINAL: Final = re.compile(
    r"(?i)[*\s]*(-{2,})? ?(?:original message|mensagem original|mensaje original|message d'origine|"
    r"messaggio originale|original appointment|compromisso original)"
    r" ?-*[*\s]*"
)
ABOVE_THIS_LINE: Final = re.compile(  # help desks: "Please type your reply above this line"
    r"(?i)(?=\W*(?:please |por favor,? )?\w+)[^\n]{0,40}\b(?:type|reply|respond\w*|respost\w+|digite|escrib\w+)\b"
    r"[^\n]{0,30}\b(?:above|acima|encima)\b[^\n]{0,20}\b(?:line|linha|línea)\b\W{0,12}"
    r"|\W+(?:please )?(?:do not (?:write|reply|type)|não (?:escreva|responda|digite)|no escriba) "
    r"(?:below|abaixo|debajo) (?:this|d?est[ae]|de esta) (?:line|linha|línea)\W{0,12}"
)
FORWARD_MARKER: Final = re.compile(
    r"(?i)-{2,} ?(?:forwarded|mensagem (?:re)?encaminhada|mensaje reenviado)\b"
    r"|(?:begin forwarded message|início da mensagem (?:re)?encaminhada|inicio del mensaje reenviado) ?:$"
)

RULE: Final = re.compile(r"[-_=*~]{5,}")  # a line of dashes, such as Outlook's

# ---- Header blocks, and forms that resemble them
HEADER: Final = re.compile(
    r"(?i)\*{0,2}(?:(?P<sender>from|de|von|da)|(?P<sent>sent(?: on)?|enviad[oa]s?(?: em| el)?|envoyé|gesendet|"
    r"inviato)"
    r"|(?P<date>date|data|fecha|datum)|(?P<to>to|para|à|an|a)|(?P<subject>subject|assunto|asunto|objet|betreff|"
    r"oggetto)"
    r"|b?cco?|anexos?|attachments?|import[aâ]nci?[ae]|reply-to|responder a|when|where|quando|onde) ?:.*"
)
TIME: Final = re.compile(r"\d[:h]\d\d")
FORM_FIELD: Final = re.compile(
    r"(?i)\*?(?:nome|name|nombre|mensage[mn]s?|mensaje|message|coment\w+|comments?|descri\w+|tele(?:fone|phone)|"
    r"tel|phone|"
    r"teléfono|celular|e-?mail|produto|product\w*|quant\w+|cidade|city|ciudad|cpf|cnpj|empresa|company)\s?:"
)
FORM: Final = re.compile(
    r"(?i)\b(?:mensagem|contato|formul[aá]rio|form|message|submission|mensaje|contacto)\b.{0,40}"
    r"\b(?:site|website|web|p[aá]gina)\b|\bformul[aá]rio de contato|\bcontact form\b"
)
