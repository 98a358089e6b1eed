"""Labels the lines of a mail: the customer's own text, quote, signature, disclaimer or footer.

A line gets another label than `OWN` only on evidence that a program wrote it or that it was written before. In doubt
it stays: lost words cost more than noise. Each pattern below names the evidence it stands for.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from triagem.contracts.cleaning.readable import BLOCK_QUOTE, MARKUP_QUOTE, SIGNATURE


class Part(StrEnum):
    """The origin of a line."""

    OWN = "own"
    QUOTE = "quote"
    SIGNATURE = "signature"
    DISCLAIMER = "disclaimer"
    FOOTER = "footer"


class Line(NamedTuple):
    """A line of the body, without the marks of a quote where it is kept as a forwarded mail."""

    part: Part
    text: str


_QUOTE_MARKS: Final = f"{MARKUP_QUOTE}{BLOCK_QUOTE}>"
_MARKS: Final = _QUOTE_MARKS + " "
_TAIL: Final = 40  # signatures and disclaimers begin in the last lines

# ---- subject: prefixes of replies and forwarded mail, with tags of gateways and ticket systems between them
_PREFIXES: Final = re.compile(r"(?i)(?:\s*(?:\[[^\][]{1,60}\]|(?:res?|aw|fwd?|enc|rv)(?:[\[(]\d{1,3}[\])])?\.? ?:))+")
_REPLY: Final = re.compile(r"(?i)\b(?:res?|aw)\b[^:]{0,6}:")
_FORWARD: Final = re.compile(r"(?i)\b(?:fwd?|enc|rv)\b[^:]{0,6}:")

# ---- own words that say that the text below belongs to the message
_POINTS_BELOW: Final = re.compile(
    r"(?i)\b(?:(?:abaixo|abajo|below)(?! (?:d[eo]|the|zero|\d))|(?:re)?encaminh\w+|reenv[ií]\w+|repass\w+|forward(?:ed|ing)?)\b"
)

# ---- attribution lines: an introduction, a date, a time and "wrote", in the forms of mail programs
_END: Final = r" ?(?:[:：]|-{3,})"
_WROTE: Final = rf"\b(?:wrote|escreveu|escribió|schrieb|a écrit|ha scritto){_END}"
_WHEN: Final = r"(?=[^\n]{0,80}(?:\d{1,4}[/.-]\d{1,2}|\b20\d\d\b))(?=[^\n]{0,80}\d[:h]\d\d)"
_ADDRESS: Final = r"[<(\[] ?(?:mailto:)?[^\s<>()]{1,99}@[^\s<>()]{1,99} ?[>)\]]"
_CAPITALIZED: Final = r"\"?[A-ZÀ-Ý][\wÀ-ÿ.&!-]*(?: (?:d[aeo]s? |via )?[A-ZÀ-Ý][\wÀ-ÿ.&!-]*){0,4}\"?"
_INTRODUCTION: Final = r"(?:-{3,} ?)?(?i:on|em|no dia|el|a|às|le|am|il giorno|ativado)"
_BY_ADDRESS: Final = rf"{_ADDRESS}[>)\]]{{0,2}} ?"  # people do not write brackets around an address
_ATTRIBUTION: Final = re.compile(
    rf"{_INTRODUCTION} {_WHEN}[^?]{{8,240}}?(?i:{_WROTE})|[^\n<]{{1,99}}{_ADDRESS} escreveu {_WHEN}[^\n?]{{8,80}}:"
    rf"|{_INTRODUCTION} (?=[^\n]{{0,80}}\b20\d\d\b)[^?]{{8,200}}?{_BY_ADDRESS}(?i:{_WROTE})|Am {_WHEN}[^?]{{8,80}} schrieb [^?]{{0,80}}?{_BY_ADDRESS}:"
    rf"|In a message dated {_WHEN}[^?]{{8,160}} writes:"
)
_CERTAIN: Final = re.compile(rf"{_BY_ADDRESS}(?i:escreveu|:|{_WROTE})|In a message dated ")
_PROGRAM: Final = re.compile(  # in a reply also the exact forms, with only a name or only an address
    rf"{_INTRODUCTION} {_WHEN}[^\n]{{8,60}}?, ?{_CAPITALIZED} ?{_WROTE}|{_CAPITALIZED} wrote on {_WHEN}[\d/.: APM-]{{8,40}}:"
    rf"|{_CAPITALIZED} {_ADDRESS} {_WROTE}|(?:Quoting|Citando) {_CAPITALIZED} {_ADDRESS}:|20[\d-]{{8}} [^\n<]{{4,60}}{_ADDRESS}:"
)
_PERSONAL: Final = re.compile(
    r"\b(?:I|my|me|you|your|eu|recebi|vocês?|seu|sua|mi|su)\b"
)  # the customer's own account
_ANY_LANGUAGE: Final = re.compile(rf"(?=.*{_ADDRESS})[^?]{{8,240}}{_END}")  # only above marked lines
_SOMEBODY_WROTE: Final = re.compile(rf"(?i){_WROTE}$")
_ORIGINAL: Final = re.compile(
    r"(?i)[*\s]*(-{2,})? ?(?:original message|mensagem original|mensaje original|message d'origine|messaggio originale) ?-*[*\s]*"
)
_ABOVE_THIS_LINE: Final = re.compile(  # help desks
    r"(?i)(?=\W*(?:please |por favor,? )?\w+)[^\n]{0,40}\b(?:type|reply|respond\w*|respost\w+|digite|escrib\w+)\b"
    r"[^\n]{0,30}\b(?:above|acima|encima)\b[^\n]{0,20}\b(?:line|linha|línea)\b\W{0,12}"
)
_FORWARD_MARKER: Final = re.compile(
    r"(?i)-{2,} ?(?:forwarded|mensagem (?:re)?encaminhada|mensaje reenviado)\b"
    r"|(?:begin forwarded message|início da mensagem (?:re)?encaminhada|inicio del mensaje reenviado) ?:$"
)

# ---- header blocks
_HEADER: Final = re.compile(
    r"(?i)\*?(?:(?P<sender>from|de|von|da)|(?P<sent>sent(?: on)?|enviad[oa]s?(?: em| el)?|envoyé|gesendet|inviato)"
    r"|(?P<date>date|data|fecha|datum)|(?P<to>to|para|à|an|a)|(?P<subject>subject|assunto|asunto|objet|betreff|oggetto)|b?cco?|anexos?|attachments?|import[aâ]nci?[ae]|reply-to|responder a) ?:.*"
)
_TIME: Final = re.compile(r"\d[:h]\d\d")
_FORM_FIELD: Final = re.compile(
    r"(?i)\*?(?:nome|name|nombre|mensage[mn]s?|mensaje|message|coment\w+|comments?|descri\w+|tele(?:fone|phone)|tel|"
    r"phone|teléfono|celular|e-?mail|produto|product\w*|quant\w+|cidade|city|ciudad|cpf|cnpj|empresa|company)\s?:"
)
_FORM: Final = re.compile(
    r"(?i)\b(?:mensagem|contato|formul[aá]rio|form|message|submission|mensaje|contacto)\b.{0,40}\b(?:site|website|web|p[aá]gina)\b"
    r"|\bformul[aá]rio de contato|\bcontact form\b"
)

# ---- lines that programs add; each must fill its line
_PRODUCT: Final = (
    r"(?:ipad|iphone|smartphone|phone|telefone|telemóvel|teléfono|tablet|android|samsung|galaxy|xiaomi|redmi|poco|huawei|motorola|"
    r"moto|lg|nokia|pixel|oneplus|blackberry|outlook|yahoo|gmail|e-?mail|mail|correo|celular|mobile|cell|móvil|dispositivo|device|"
    r"aparelho|proton ?mail|proton|uol|bol|zoho|hotmail|spark|airmail|bluemail|aquamail|t-mobile|zimbra)"
)
_LINK: Final = r"(?:<\S{1,300}>|\(\S{1,300}\)|https?://\S{1,300}|www\.\S{1,300})"
_FOOTERS: Final = {
    "device": re.compile(
        r"\W*(?:Sent|Enviad[oa]|ENVIADO|SENT)(?i: (?:from|via|with|do|da|desde|pel[oa]|por|através do|com o|a partir d[oe]) (?!(?:e-?mail|mail|correo)\W*$)(?:(?:my|meu|minha|mi|the|"
        rf"o|el|un) )?(?:app )?(?:{_PRODUCT}|windows)\b(?: ?{_LINK})?(?: (?:{_PRODUCT}|for|para|no|on|en|via|de|da|do|com|using|usando|o|a|app|windows|ios|"
        r"mac|pro|max|plus|ultra|note|edge|[a-z]{0,2}\d{1,3}[a-z]{0,2}|vivo|claro|tim|oi|nos|meo|vodafone|movistar|orange|at&t|verizon|t-mobile|secure)\b"
        rf"|,){{0,8}})[.,!]?(?: ?{_LINK})?"
    ),
    "outlook": re.compile(
        r"(?i)(?:get|obt(?:er|enha|én|ener|enga)(?: o)?|baix[ae]r?(?: o)?|descarg\w+) outlook (?:for|para) .{2,80}"
    ),
    "environment": re.compile(
        r"(?i)\W*(?:(?:please |por favor,? )?(?:consider|think (?:of|about)) .{0,20}environment.{0,60}|think before (?:you )?print.{0,60}|"
        r"before (?:you )?print\w*.{0,60}environment.{0,40}|[^:?]{0,30}(?:pense|piense|piensa|pensa) [^:?]{0,60}(?:meio|medio|no|n[oa] nosso|seu) ?ambiente\b[^:?]{0,80}|"
        r"antes de imprimir[^:?]{0,80}(?:meio ambiente|medio ambiente|natureza|necess?[aá]ri[oa])[^:?]{0,80}|preserve (?:a natureza|o meio ambiente).{0,60})"
    ),
    "virus scan": re.compile(
        rf"(?i)\W*(?:(?:livre de v[íi]rus|virus-free|libre de virus|sem v[íi]rus)\W{{1,3}}{_LINK}?(?: {_LINK})?|"
        r"(?:this|est[ae]) (?:e-?mail|message|mensagem|mensaje|correo(?: electr[óo]nico)?) (?:has been|was|foi|ha sido|fue) "
        r"(?:checked|scanned|escanead|verificad|analisad|analizad|comprobad)\w* .{0,60}(?:v[ií]rus|avast|avg).{0,120}|"
        r"no virus found in this .{0,20}|nenhum v[íi]rus (?:foi )?encontrado ness?ta .{0,20}|"
        r"a aus[êe]ncia de v[íi]rus neste e-?mail foi .{0,60}|(?:verificado por|checked by) (?:avg|avast).{0,60})"
    ),
    "link of a virus scan": re.compile(r"<https?://\S{3,200}(?:sig-email|utm_)\S{0,200}>"),
    "outside sender": re.compile(
        r"(?i)(?=.*\b(?:outside|external|extern[oa]|fora d[aeo]|fuera de)\b)(?=.*\b(?:click?|clique|clicar|clic|abra|open)\b)\W*(?:caution|warning|extern|"
        r"aten[çc]|cuidado|aviso|this|est[ae]).{20,390}"
    ),
    "web form": re.compile(
        r"(?i)(?:this e-?mail|este e-?mail|esta mensagem|este correo|this message) (?:was|foi|fue|ha sido) (?:sent|enviad\w+) .{0,30}"
        r"(?:contact form|formul[aá]rio).{0,150}"
    ),
}
_RULE: Final = re.compile(r"[-_=*~]{5,}")
_FOOTER_HINT: Final = re.compile(
    r"(?i)sent |enviad|outlook|ambiente|environment|print|imprimir|natureza|v[íi]rus|avg|outside|extern|fora d|fuera|form|sig-email|utm_"
)
_LINK_ALONE: Final = re.compile(r"<?(?:https?://)?www\.\S{3,120}|<?https?://\S{3,120}")

# ---- disclaimers: begin as notices, in forms of notices, with legal terms, and not in the first person
_NOTICE: Final = re.compile(
    r"(?i)\W{0,5}(?:confidential|disclaimer|(?:important|legal|privacy) notice|aviso|nota de confid|"
    r"this (?:e-?mail|message|communication|transmission)|the (?:information|content)|est[ae] (?:mensagem|mensaje|correo|e-?mail|comunica)|"
    r"as? informaç|o conteúdo|la informaci|el contenido|este documento)"
)
_NOTICE_FORMS: Final = re.compile(
    r"(?i)\b(?:if you (?:have received|are not|received)|any (?:files|attachments?|unauthori\w+|review|use|dissemination)|(?:may|might) contain|"
    r"intended (?:solely|only|exclusively|recipient|for)|notify the sender|strictly (?:prohibited|forbidden)|is prohibited|"
    r"se (?:você|o senhor|vossa|não for|a recebeu|recebeu)|caso (?:não|você|tenha|a tenha|o tenha)|pode(?:m)? conter|destinad[oa]s? (?:exclusiva|unica|apenas|somente)\w*|"
    r"(?:é|está|fica|ser) (?:expressamente |estritamente |terminantemente )?(?:proibid|vedad)[oa]|(?:avis|notifi|inform|comuni)\w+ (?:imediatamente )?(?:a?o|el|al) (?:remetente|emissor|remitente|emisor)|"
    r"seus anexos|sus (?:archivos )?(?:adjuntos|anexos)|si (?:usted|no es|la? ha|lo ha|ha recibido|recibe)|puede(?:n)? contener|queda (?:estrictamente )?prohibid|"
    r"le rogamos|(?:confidentiality|legal|important) notice|aviso (?:legal|de confidencialidad\w*))"
)
_LEGAL: Final = re.compile(
    r"(?i)confiden[ct]i|privileg|sigilo|intended|recipient|addressee|destina[dt]|in error|by mistake|engano|"
    r"por erro|indevid|unauthori|autorizad|delete|apag|elimin|destr[uó]|prohibited|prohib|proibid|vedad|disclos|divulga|"
    r"liab|responsab|virus|vírus|\blei\b|remetente|remitente|sender"
)
_FIRST_PERSON: Final = re.compile(
    r"(?i)\?|\b(?:I|my|me|mine|eu|meus?|minhas?|mim|quero|solicito|exijo|preciso|gostaria|peço|recebi|yo|mis?|quiero|necesito|pido|recibí)\b"
)

# ---- signatures: a closing or a delimiter above a name and contact lines
_CLOSING: Final = re.compile(
    r"(?i)(?:(?:many |muito )?(?:thanks|thank you|obrigad[oa]|gracias)(?:,| and| e| y) )?(?:at\.?te?|atenciosamente|atentamente|cordialmente|respeitosamente|grat[oa]|abs|(?:um |grande ){0,2}abraços?|sds|saudações|"
    r"(?:com )?(?:os )?(?:(?:meus )?(?:melhores|cordiais|atenciosos) )?cumprimentos|(?:with )?(?:(?:best|kind|kindest|warm) )?regards|"
    r"best wishes|sincerely|yours (?:truly|faithfully|sincerely)|(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|un abrazo|respetuosamente|"
    r"abçs?|abrs|bjs|sem mais|(?:best|cheers|warmly)(?=[,!]))(?:(?!\w)\s?[.,;:!-]{1,3}\s?(.*))?"
)
_THANKS: Final = re.compile(
    r"(?i)(?:muito |many |muchas )?(?:obrigad[oa]s?|thanks|thank you|gracias)(?: desde já| in advance)?\W{0,3}"
)
_DELIMITER: Final = re.compile(r"-- ?|[-_=*~]{3,}")
_WORD: Final = r"(?<![\w@./-])[a-zà-ÿ]{4,}(?![\w@/-]|\.\w)"  # lower-case, and not an address
_NAME: Final = re.compile(rf"(?!.*{_WORD})[^\d\s]+(?:\s[^\d\s]+){{0,4}}")
_REQUEST: Final = re.compile(  # words of requests and complaints, which a signature does not contain
    r"(?i)[?!]$|\b(?:p\.? ?s|obs|quero|preciso|favor|please|need|want|necesito|quiero|ainda|todavía|still|não|nao|not|no|sem|without|sin|"
    r"cancel\w*|troc\w+|devol\w+|envi[ae]\w*|send|solicit\w+|contrat[ae]r|verific\w+|resolv\w+|retorn\w+|urgente?|aguard\w+|"
    r"segunda via|nota fiscal|instala\w*|orçamento|problemas?|erro|error|defeito|reembolso|upgrade|close my|change my|call me|ligar|ligue|"
    r"also|também|también|esqueci|forgot|boletos?|faturas?|invoices?|pedidos?|orders?|planos?|refund)\b"
)
_INFINITIVE: Final = re.compile(r"\w{2,}[aei]r \w")  # "Emitir Nota"; of names only the first line may begin so
_CONTACT: Final = re.compile(
    r"(?i)\+?\(?\d[\d ().-]{6,}\d|@|www\.|https?:|\b(?:rua|r\.|av\.?|avenida|calle|street|st\.|road|cep|cnpj)\b.*\d"
)
_ROLE: Final = re.compile(
    r"(?i)\b(?:gerent|analist|diret|direct|coorden|assist|supervis|depart|dept|setor|compras|financ|comerci|vendas|ventas|engenh|ingenier|"
    r"t[ée]cnic|consult|advog|abogad|s[óo]ci[oa]|propriet|manager|head|officer|engineer|sales|support|suporte|purchas|account|contab|"
    r"lead|ceo|cto|cfo|jef[ea]|encargad|administr|recursos|rh\b|president|chef[ei]|operations|marketing|ltda|s\.?a\.?\b|inc\b|llc|gmbh)"
)

_GREETING: Final = frozenset(
    "olá ola oi bom boa dia tarde noite prezado prezada prezados prezadas caro cara caros senhor senhora senhores sr sra hi hello hey "
    "dear good morning afternoon evening hola buenos buenas días dias tardes noches estimado estimada estimados".split()
)
_COURTESY: Final = _GREETING | frozenset(
    "obrigado obrigada obrigados grato grata thanks thank you gracias att atte atenciosamente abraço abraços cordialmente regards "
    "kind best saludos cumprimentos a o os as e the all team todos pessoal equipe equipo tudo bem there sirs madam sir desde já".split()
)


def label(subject: str, lines: Sequence[str]) -> list[Line]:
    """Label the lines of a mail's body. All are `OWN` if the rules would leave only courtesies."""
    body = _footers(lines)
    spoken = (
        subject if subject.endswith((".", "!", "?")) and not _PREFIXES.match(subject) else ""
    )  # of a chat: no subject
    for attempt in (_without_quotes(subject, body), body):
        trimmed = _cut_tail(_cut_tail(_markup_signature(attempt), Part.DISCLAIMER), Part.SIGNATURE)
        if _says_something([Line(Part.OWN, spoken), *trimmed]):
            return _without_rules(trimmed)
    left = subject.strip() or any(_own(body))
    return body if left else [Line(Part.OWN, line.text) for line in body]


def _without_rules(lines: Sequence[Line]) -> list[Line]:
    """Label lines of dashes, and a delimiter with nothing of the customer's below it."""
    last = max((at for at, line in enumerate(lines) if line.part is Part.OWN and line.text), default=-1)
    return [
        Line(Part.FOOTER, line.text)
        if line.part is Part.OWN and (_DELIMITER if at == last else _RULE).fullmatch(line.text)
        else line
        for at, line in enumerate(lines)
    ]


def _markup_signature(lines: Sequence[Line]) -> list[Line]:
    """Label lines that markup says are a signature, unless one of them reads like a request."""
    marked = [line.text.lstrip(SIGNATURE) for line in lines if line.text.startswith(SIGNATURE)]
    part = (
        Part.OWN
        if any(len(text) > 120 or _REQUEST.search(text) or _FIRST_PERSON.search(text) for text in marked)
        else Part.SIGNATURE
    )
    return [Line(part, line.text.lstrip(SIGNATURE)) if line.text.startswith(SIGNATURE) else line for line in lines]


def _own(lines: Sequence[Line]) -> list[str]:
    return [line.text for line in lines if line.part is Part.OWN]


def _says_something(lines: Sequence[Line]) -> bool:
    """Whether the own lines are more than a greeting and a closing. Thanks alone are an answer."""
    words = re.findall(r"[^\W_]+", " ".join(_own(lines))[:400])
    lower = [word.lower() for word in words]
    if any(word in _GREETING for word in lower):
        return len(words) > 15 or any(
            word not in _COURTESY and not words[at][0].isupper() for at, word in enumerate(lower)
        )
    return bool(words) or any(text.strip(_MARKS + "-_=*~") for text in _own(lines))


def _first_half(above: str) -> bool:
    """Whether the own text above breaks off: "I need:"."""
    return above.endswith(":") and not _SOMEBODY_WROTE.search(above)


def _footers(lines: Sequence[str]) -> list[Line]:
    if not _FOOTER_HINT.search("\n".join(lines)):
        return [Line(Part.OWN, text) for text in lines]
    labelled, below_scan = list[Line](), False
    for at, text in enumerate(lines):
        below = lines[at + 1] if at + 1 < len(lines) else ""
        continues = below[:1].islower() and not _LINK_ALONE.fullmatch(below)
        hint = len(text) < 400 and not continues and _FOOTER_HINT.search(text)
        name = next((name for name, pattern in _FOOTERS.items() if pattern.fullmatch(text)), "") if hint else ""
        footer = bool(name) or (below_scan and bool(_LINK_ALONE.fullmatch(text)))
        labelled.append(Line(Part.FOOTER if footer else Part.OWN, text))
        below_scan = name == "virus scan" or (below_scan and not text)
    return labelled


class _Opening(NamedTuple):
    """The lines that introduce a quoted mail."""

    length: int
    answered: bool = False  # marked lines follow, so the customer's own words may follow these


def _without_quotes(subject: str, body: Sequence[Line]) -> list[Line]:
    """Label quoted mail. A quote that the customer forwards or points to stays."""
    prefixes = match[0] if (match := _PREFIXES.match(subject)) else ""
    reply, forward = bool(_REPLY.search(prefixes)), bool(_FORWARD.search(prefixes))
    lines = [line.text if line.part is Part.OWN else "" for line in body]
    labelled, above, seen, at = list[Line](), "", False, 0  # above: the last own line that is not empty
    while at < len(lines):
        run = _marked_run(lines, at)
        end = at + max(run, 1)
        opening = None if run else _opening(lines, at, subject, reply=reply)
        quoted = opening or (run and (seen or _is_quote(lines[at:end], above, reply=reply)))
        if not quoted or (not seen and _first_half(above)):
            labelled += body[at:end]
            above = next(filter(None, reversed(lines[at:end])), above)
            at = end
            continue
        if not seen and (
            forward or _passes_on(labelled, [line.lstrip(_MARKS) for line in lines[at : min(end, at + 4)]])
        ):
            return labelled + [Line(line.part, line.text.lstrip(_MARKS)) for line in body[at:]]
        if opening:
            end = at + opening.length if opening.answered else len(lines)
        labelled += [Line(Part.QUOTE, line.text) for line in body[at:end]]
        seen, at = True, end
    return labelled


def _passes_on(note: Sequence[Line], quote: Sequence[str]) -> bool:
    """Whether the note points to the text below it, or is a short one above the marker of a forwarded mail."""
    if _POINTS_BELOW.search(" ".join(_own(note))):
        return True
    words = " ".join(_own(_cut_tail(note, Part.SIGNATURE))).split()
    return len(words) < 15 and any(map(_FORWARD_MARKER.match, quote))


def _marked_run(lines: Sequence[str], at: int) -> int:
    """The number of lines from `at` that are marked as quoted, with the empty lines between them."""
    end = last = at
    while end < len(lines) and (lines[end].startswith(tuple(_QUOTE_MARKS)) or (not lines[end] and last > at)):
        end += 1
        last = end if lines[end - 1] else last
    return last - at


def _is_quote(run: Sequence[str], above: str, *, reply: bool) -> bool:
    """Whether marked lines are a quoted mail: by markup, by an attribution, or as the beginning of a reply."""
    if any(line.startswith(MARKUP_QUOTE) for line in run) or _SOMEBODY_WROTE.search(above):
        return True
    inner = [line.lstrip(_MARKS) for line in run[:6]]
    return (reply and not above and run[0].startswith(">")) or any(
        _opening(inner, at, "", reply=True) for at in range(len(inner))
    )


def _opening(lines: Sequence[str], at: int, subject: str, *, reply: bool) -> _Opening | None:
    """The opening of a quoted mail at line `at`, if there is one."""
    text = lines[at]
    if not text or len(text) > 500:
        return None
    if _FORWARD_MARKER.match(text) or (_ABOVE_THIS_LINE.fullmatch(text) and (reply or not text[0].isalpha())):
        return _Opening(1)
    if original := _ORIGINAL.fullmatch(text):
        below = next(filter(None, lines[at + 1 : at + 3]), "")
        return _Opening(1) if original[1] or _HEADER.match(below) else None
    if _HEADER.match(text):
        return _header(lines, at, subject, reply=reply)
    return _attribution(lines, at, reply=reply)


def _attribution(lines: Sequence[str], at: int, *, reply: bool) -> _Opening | None:
    """An attribution of up to three lines, which a program wrote: with an address, or above marked lines."""
    text = ""
    for end in range(at, min(at + 3, len(lines))):
        if (end > at and text.endswith(".")) or len(lines[end]) > 500:
            break
        text = f"{text} {lines[end]}".strip()
        match = _ATTRIBUTION.match(text)
        whole = match.end() == len(text) if match else end == at and bool(_ANY_LANGUAGE.fullmatch(text))
        if whole and next(filter(None, lines[end + 1 : end + 4]), "").startswith(tuple(_QUOTE_MARKS)):
            return _Opening(end + 1 - at, answered=True)
        apart = reply and not any(lines[max(0, at - 1) : at]) and not any(lines[end + 1 : end + 2])
        certain = (match and _CERTAIN.search(match[0])) or (apart and _PROGRAM.fullmatch(text))
        if certain and not _PERSONAL.search(text):
            return _Opening(end + 1 - at)
    return None


def _header(lines: Sequence[str], at: int, subject: str, *, reply: bool) -> _Opening | None:
    """A header block: sender, date and subject, and four signs that it is not a form of the customer's."""
    fields, end = dict[str, str](), at
    while end < min(at + 14, len(lines)):
        field = _HEADER.match(lines[end])
        if field and field.lastgroup:
            fields[field.lastgroup] = field[0]
        if not field and lines[end] and "@" not in lines[end]:
            break
        end += 1
        if field and "subject" in fields and (end == len(lines) or not lines[end]):
            break
    if not {"sender", "subject"} <= fields.keys() or not {"sent", "date"} & fields.keys():
        return None
    above, below = lines[max(0, at - 3) : at], lines[end : end + 1]
    around = [next(filter(None, reversed(above)), ""), *filter(None, lines[at : end + 3])]
    form = any(map(_FORM_FIELD.match, around)) or _FORM.search(
        " ".join([subject[:300], *lines[max(0, at - 5) : at]])[:900]
    )
    if form or any(below):
        return None
    apart = not above or not above[-1] or bool(_RULE.fullmatch(above[-1]))
    when = fields.get("sent", "") + fields.get("date", "")
    signs = [
        reply,
        apart,
        "sent" in fields,
        "@" in fields["sender"],
        bool(_TIME.search(when)),
        lines[at].startswith("*"),
    ]
    return _Opening(end - at) if sum(signs) + signs[-1] >= 4 else None


def _cut_tail(lines: Sequence[Line], part: Part) -> list[Line]:
    """Label a disclaimer or signature that ends the own text."""
    own = [at for at, line in enumerate(lines) if line.part is Part.OWN]
    texts = [lines[at].text for at in own]
    begins = _disclaimer_length if part is Part.DISCLAIMER else _signature_length
    for first in range(max(0, len(own) - _TAIL), len(own)):
        skipped = begins(texts[first:])
        if skipped is not None and not _first_half(next(filter(None, reversed(texts[:first])), "")):
            cut = set(own[first + skipped :])
            return [Line(part, line.text) if at in cut else line for at, line in enumerate(lines)]
    return list(lines)


def _disclaimer_length(tail: Sequence[str]) -> int | None:
    """0 if `tail` is a disclaimer, else None."""
    if not _NOTICE.match(tail[0]) or sum(map(len, tail)) > 4000:
        return None
    text = "\n".join(tail)
    paragraphs = [
        set(_LEGAL.findall(part.lower())) for part in re.split(r"\n{2,}", text.strip()) if len(part.split()) > 5
    ]
    forms = {form.lower() for form in _NOTICE_FORMS.findall(text.replace("\n", " "))}
    certain = (
        len(set().union(*paragraphs)) >= 3 and len(forms) >= 2 and all(paragraphs) and not _FIRST_PERSON.search(text)
    )
    return 0 if certain else None


def _signature_length(tail: Sequence[str]) -> int | None:
    """The number of lines to keep (a line of thanks) before the signature that `tail` is, else None."""
    closing, thanks, delimiter = (
        _CLOSING.fullmatch(tail[0]),
        _THANKS.fullmatch(tail[0]),
        bool(_DELIMITER.fullmatch(tail[0])),
    )
    names = [text for text in [(closing[1] or "") if closing else "", *tail[1:]] if text]
    if not names:
        return 0 if closing else None
    if not (closing or thanks or delimiter) or len(names) > 10 or (tail[0].isupper() and names[0].isupper()):
        return None  # in an all-caps mail, capitals do not indicate a name
    weak = thanks or tail[0][:3] in ("---", "___", "===", "***", "~~~")
    contacts = [at for at, text in enumerate(names) if _CONTACT.search(text)]
    if not _NAME.fullmatch(names[0]) or _REQUEST.search(names[0]) or (weak and not contacts):
        return None
    last_contact = max(contacts, default=0)
    slogan = range(last_contact if delimiter else 0)
    if any(
        not _in_signature(text) and not (at in slogan and len(text.split()) <= 6)
        for at, text in enumerate(names)
        if at
    ):
        return None
    if len(names) > 6 and not contacts:
        return None
    return 1 if thanks else 0


def _in_signature(text: str) -> bool:
    """Whether it is a contact, a role or capitalized names, and not a request."""
    if len(text) > 120 or (_REQUEST.search(text) and not _CONTACT.search(text)):
        return False
    words = len(re.findall(_WORD, text))
    return (
        (words == 0 and not _INFINITIVE.match(text))
        or (bool(_CONTACT.search(text)) and words <= 1)
        or (bool(_ROLE.search(text)) and words <= 3)
    )
