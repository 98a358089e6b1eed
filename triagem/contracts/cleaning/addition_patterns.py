"""Regular expressions that prove footers, disclaimers and signatures, in pt, en and es, and words of courtesy."""

import re
from typing import Final

from triagem.contracts.cleaning.quote_patterns import any_of


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# ---- Footers: lines that programs add; each pattern must match the whole line
LINK_ALONE: Final = re.compile(r"<?(?:https?://)?www\.\S{3,120}|<?https?://\S{3,120}")
_LINK: Final = r"(?:<\S{1,300}>|\(\S{1,300}\)|https?://\S{1,300}|www\.\S{1,300})"
_PRODUCT: Final = any_of(
    "ipad|iphone|smartphone|phone|telefone|telemóvel|teléfono|tablet|android|samsung|galaxy|xiaomi|redmi|poco|huawei",
    "motorola|moto|lg|nokia|pixel|oneplus|blackberry|outlook|yahoo|gmail|e-?mail|mail|correo|celular|mobile|cell|"
    "móvil",
    "dispositivo|device|aparelho|proton ?mail|proton|uol|bol|zoho|hotmail|spark|airmail|bluemail|aquamail|t-mobile|"
    "zimbra|asus|zenfone|realme|infinix|oppo|sony|xperia|aol|terra mail|ig mail|mailspring|"
    "edison mail|webmail|roundcube|thunderbird|fastmail|tutanota|macbook|chromebook|apple watch|correio(?= (?:do|"
    "para) )",
)
_BESIDES: Final = any_of(
    "for|para|no|on|en|via|de|da|do|com|using|usando|o|a|an|app|all|new|seguro|secure e-?mail|móvel|movil|windows|"
    "ios|mac|pro|max|plus|ultra|note|edge|secure",
    r"[a-z]{0,2}\d{1,3}[a-z]{0,2}|vivo|claro|tim|oi|nos|meo|vodafone|movistar|orange|at&t|verizon",
)
_NATURE: Final = r"(?:meio ambiente|medio ambiente|natureza|necess?[aá]ri[oa])"
_THIS_MAIL: Final = r"(?:this|est[ae]) (?:e-?mail|message|mensagem|mensaje|correo(?: electr[óo]nico)?)"
FOOTERS: Final = {
    "device": re.compile(
        r"\W*(?:Sent|Enviad[oa]|ENVIADO|SENT|Mensagem enviada)(?i: (?:from|via|with|do|da|desde|pel[oa]|por|usando|"
        r"através do|com o|por meio d[oe]|a partir d[oe]|co[mn](?= proton)|de(?= meu| outlook)) "
        r"(?!(?:e-?mail|mail|correo)\W*$)(?:(?:my|meu|minha|mi|the(?: all new)?|o|el|un) )?"
        r"(?:app |aplicativo |verizon, )?"
        rf"(?:{_PRODUCT}|windows)\b(?: ?{_LINK})?(?: (?:{_PRODUCT}|{_BESIDES})\b|,){{0,8}})[.,!]?(?: ?{_LINK})?"
        r"(?:[,.]? (?:please excuse|excuse|sorry for|desculp[ae]|perdoe)[^.:?!]{0,60}(?:typos?|brevity|erros?|"
        r"brevidade)[.!]?)?"
    ),
    "outlook": re.compile(
        r"(?i)(?:get|obt(?:er|enha|én|ener|enga)(?: o)?|baix[ae]r?(?: o)?|descarg\w+) outlook (?:for|para) "
        rf"(?:ios|android|mac|windows|mobile|iphone|ipad)(?: \d+)?\W?(?: ?{_LINK})?"
        rf"|yahoo mail: (?:search, organize, conquer|[\w, ]{{5,40}}(?=[<(])) ?{_LINK}?"
    ),
    "environment": re.compile(
        r"(?i)(?=.{0,120}\b(?:print|imprim)|.{0,50}$|.{0,80}agradece)\W*(?:p )?"
        + any_of(
            r"(?:please |por favor,? )?(?:consider|think (?:of|about)) .{0,20}environment.{0,60}",
            r"(?:think )?before (?:you )?print\w*.{0,60}environment.{0,40}|think before (?:you )?print.{0,60}",
            r"[^:?]{0,30}(?:pens[ea]|piens[ea]) [^:?]{0,60}(?:meio|medio|no|n[oa] nosso|seu) ?ambiente\b[^:?]{0,80}",
            rf"antes de imprimir[^:?]{{0,80}}{_NATURE}[^:?]{{0,80}}|preserve (?:a natureza|o meio ambiente).{{0,60}}",
        )
    ),
    "virus scan": re.compile(
        r"(?i)(?!.*\b(?:mas|but|mesmo|tinha|had|ainda|still|com v[íi]rus)\b)\W*"
        + any_of(
            r"(?:livre de v[íi]rus|virus-free|libre de virus|sem v[íi]rus|n[ãa]o cont[ée]m v[íi]rus)"
            rf"\W{{1,3}}{_LINK}?(?: {_LINK})?",
            r"scanned by \w{3,12} and confirmed virus-free\W*",
            rf"{_THIS_MAIL} (?:has been|was|foi|ha sido|fue) (?:checked|scanned|escanead|verificad|anali[sz]ad|"
            rf"comprobad)\w*"
            r" .{0,60}(?:v[ií]rus|avast|avg).{0,120}",
            r"no virus found in this .{0,20}|nenhum v[íi]rus (?:foi )?encontrado ness?ta .{0,20}",
            r"a aus[êe]ncia de v[íi]rus neste e-?mail foi .{0,60}|(?:verificado por|checked by) (?:avg|avast).{0,60}",
        )
    ),
    "link of a virus scan": re.compile(r"<https?://\S{3,200}(?:sig-email|utm_)\S{0,200}>"),
    "outside sender": re.compile(
        r"(?i)(?=.*\b(?:outside|external|extern[oa]|fora d[aeo]|fuera de)\b)(?=.*\b(?:click?|clique|clicar|clic|"
        r"abra|open)\b)(?=.*\b(?:e-?mail|correo|message|mensage[mn]|mensaje|sender|remetente|remitente)\b)"
        r"\W*(?:caution|warning|extern|aten[çc]|cuidado|aviso|this|est[ae]).{20,390}"
    ),
    "unknown sender": re.compile(
        r"(?i)\W*(?:(?:you|some people who received this message) don't often get e-?mail from|"
        r"(?:você|algumas pessoas que receberam esta mensagem) não costumam? receber e-?mails de) \S{1,99}@\S{1,99}"
        r"(?: (?:learn|saiba) .{5,150})?"
        r"|this message (?:is from an external sender|came from outside your organi[sz]ation)\W*"
    ),
    "web form": re.compile(
        rf"(?i){_THIS_MAIL} (?:was|foi|fue|ha sido) (?:sent|enviad\w+) .{{0,30}}(?:contact form|"
        r"formul[aá]rio(?: de conta[ct]to)?)(?: (?:d[aeo]|del|em|en|no|on|at|of|in) [^,;!?]{1,150})?\W*"
    ),
}
FOOTER_HINT: Final = re.compile(  # every footer has one of these
    r"(?i)sent |enviad|outlook|ambiente|environment|print|imprimir|natureza|v[íi]rus|avg|outside|extern|fora d|"
    r"fuera|form|"
    "sig-email|utm_|don't often|costumam? receber|yahoo mail"
)

# ---- Disclaimers: they begin as notices, use forms of notices and legal terms, and are not in the first person
NOTICE: Final = re.compile(
    r"(?i)\W{0,5}(?:em (?:conformidade|cumprimento|atendimento)|(?:de acordo com|nos termos d)a (?:lei|lgpd)|"
    r"confidential|disclaimer|(?:important|legal|privacy) notice|aviso|nota de confid|"
    r"this (?:communica|transmis)|"
    rf"{_THIS_MAIL}|the (?:information|content)|as? informaç|o conteúdo|la informaci|el contenido|"
    rf"est[ae] (?:documento|comunica))"
)
NOTICE_FORM: Final = re.compile(
    r"(?i)\b"
    + any_of(
        "if you (?:have received|are not|received)|(?:may|might) contain|intended (?:solely|only|exclusively|"
        "recipient|for)",
        r"any (?:files|attachments?|unauthori\w+|review|use|dissemination)|notify the sender|strictly (?:prohib|"
        r"forbid)\w+",
        "is prohibited|se (?:você|o senhor|vossa|não for|a recebeu|recebeu)|caso (?:não|você|tenha|a tenha|o tenha)",
        r"pode(?:m)? conter|destinad[oa]s? (?:exclusiva|unica|apenas|somente)\w*|seus anexos|"
        r"sus (?:archivos )?(?:adjuntos|anexos)",
        "(?:é|está|fica|ser) (?:expressamente |estritamente |terminantemente )?(?:proibid|vedad)[oa]|le rogamos",
        r"(?:avis|notifi|inform|comuni)\w+ (?:imediatamente )?(?:a?o|el|al) (?:remetente|emissor|remitente|emisor)",
        "si (?:usted|no es|la? ha|lo ha|ha recibido|recibe)|puede(?:n)? contener|queda (?:estrictamente )?prohibid",
        r"(?:confidentiality|legal|important) notice|aviso (?:legal|de confidencialidad\w*)",
    )
)
LEGAL_TERM: Final = re.compile(
    r"(?i)confiden[ct]i|privileg|sigilo|intended|recipient|addressee|destina[dt]|in error|by mistake|engano|"
    r"por erro|indevid|"
    r"unauthori|autorizad|delete|apag|elimin|destr[uó]|prohibited|prohib|proibid|vedad|disclos|divulga|liab|"
    r"responsab|virus|"
    r"vírus|\blei\b|remetente|remitente|sender"
)
FIRST_PERSON: Final = re.compile(
    r"(?i)\?|\b(?:I|my|me|mine|eu|meus?|minhas?|mim|quero|solicito|exijo|preciso|gostaria|peço|recebi|yo|mis?|quiero|"
    r"necesito|pido|recibí)\b"
)

# ---- Signatures: a closing or a delimiter above a name, roles and contacts
CLOSING: Final = re.compile(
    r"(?i)(?:(?:many |muito )?(?:thanks|thank you|obrigad[oa]|gracias)(?:,| and| e| y) )?"
    + any_of(
        r"at\.?te?|atenciosamente|atentamente|cordialmente|respeitosamente|grat[oa]|abs|abçs?|abrs|bjs|sds|"
        r"saudações|sem mais",
        "(?:um |grande ){0,2}abraços?|(?:com )?(?:os )?(?:(?:meus )?(?:melhores|cordiais|atenciosos) )?cumprimentos",
        "(?:with )?(?:(?:best|kind|kindest|warm) )?regards|best wishes|sincerely|yours (?:truly|faithfully|"
        "sincerely)",
        "(?:best|cheers|warmly)(?=[,!])|(?:un )?(?:cordial )?saludos?(?: cordial(?:es)?)?|un abrazo|respetuosamente",
    )
    + r"(?:(?!\w)\s?[.,;:!-]{1,3}\s?(.*))?"
)
THANKS: Final = re.compile(
    r"(?i)(?:(?:muito |many |muchas )?(?:obrigad[oa]s?|thanks|thank you|gracias)(?: desde já| in advance)?|"
    r"desde já,? agrade(?:ço|cemos)|agrade(?:ço|cemos) (?:desde já|antecipadamente))\W{0,3}"
)
DELIMITER: Final = re.compile(r"-- ?|[-_=*~]{3,}")
_LOWER_CASE: Final = r"(?<![\w@./-])[a-zà-ÿ]{4,}(?![\w@/-]|\.\w)"  # not in an address
LOWER_CASE: Final = re.compile(_LOWER_CASE)
NAME: Final = re.compile(rf"(?!.*{_LOWER_CASE})[^\d\s]+(?:\s[^\d\s]+){{0,4}}")
INFINITIVE: Final = re.compile(r"\w{2,}[aei]r \w")  # "Emitir Nota"
CONTACT: Final = re.compile(
    r"(?i)\+?\(?\d[\d ().-]{6,}\d|@|www\.|https?:|\b(?:rua|r\.|av\.?|avenida|calle|street|st\.|road|cep|cnpj)\b.*\d"
)
ADDRESSES: Final = re.compile(r"\S*(?:@|www\.|://)\S*")
COLUMNS: Final = re.compile(r"\s[|•·]\s")  # "Rita Prado | Compras | (11) 4004-0000"
ROLE: Final = re.compile(
    r"(?i)\b(?:gerent|analist|diret|direct|coorden|assist|supervis|depart|dept|setor|compras|financ|comerci|vendas|"
    r"ventas|"
    r"engenh|ingenier|t[ée]cnic|consult|advog|abogad|s[óo]ci[oa]|propriet|manager|head|officer|engineer|sales|"
    r"support|"
    r"suporte|purchas|account|contab|lead|ceo|cto|cfo|jef[ea]|encargad|administr|recursos|rh\b|president|chef[ei]|"
    r"operations|marketing|ltda|s\.?a\.?\b|inc\b|llc|gmbh)"
)
REQUEST: Final = re.compile(  # words of requests and complaints, which a signature does not contain
    r"(?i)[?!]$|\b(?:p\.? ?s|obs|quero|preciso|favor|please|need|want|necesito|quiero|ainda|todavía|still|não|nao|"
    r"not|no(?!\.? ?\d)|(?:protocolo|chamado|contrato|ticket|caso|case|nf-?e?)\b\W{0,6}\d+|"
    r"sem|without|sin|cancel\w*|troc\w+|devol\w+|envi[ae]\w*|send|solicit\w+|contrat[ae]r|verific\w+|resolv\w+|"
    r"retorn\w+|"
    r"urgente?|aguard\w+|segunda via|nota fiscal|instala\w*|orçamento|problemas?|erro|error|defeito|reembolso|"
    r"upgrade|"
    r"close my|change my|call me|ligar|ligue|also|também|también|esqueci|forgot|boletos?|faturas?|invoices?|pedidos?|"
    r"orders?|planos?|refund)\b"
)

# ---- Courtesies: own text of only these says nothing
GREETINGS: Final = _words(
    "olá ola oi bom boa dia tarde noite prezado prezada prezados prezadas caro cara caros senhor senhora senhores",
    "sr sra hi hello hey dear good morning afternoon evening hola buenos buenas días dias tardes noches",
    "estimado estimada estimados",
)
COURTESIES: Final = GREETINGS | _words(
    "obrigado obrigada obrigados grato grata gracias thanks thank you att atte atenciosamente abraço abraços",
    "cordialmente regards kind best saludos cumprimentos a o os as e the all team todos pessoal equipe equipo",
    "tudo bem there sirs madam sir desde já",
)
