"""Recognizes automatic messages in pt, en and es: out-of-office replies, delivery failures and read receipts.

Automatic messages are not customers' requests, but a message about them is one ("how do I set up an out-of-office
reply?"). So the evidence must be a prefix that a program writes before the subject, or two different cues at the
start of the body.
"""

import re
from typing import Final

from triagem.contracts.cleaning.readable import readable

_HEAD: Final = 600  # characters of the body in which cues count
# Each pattern below needs one of these: a quick check, since hardly any message is automatic.
_HINTS: Final = (
    "auto", "office", "ausen", "ausên", "deliver", "entreg", "falha", "read", "lid", "leíd", "leid", "fuera",
    "férias", "vaca", "failure", "escrit", "licen", "vacation", " leave", "em contato", "contacting",
    "reaching out", "received your", "recebemos", "holiday",
)  # fmt: skip

# The whole subject, or a prefix with a colon. A person who asks about an automatic message writes none of these.
_CERTAIN_SUBJECT: Final = re.compile(
    r"(?i)(?:\[[^\][]{1,40}\]\s*)?(?:"
    r"(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office(?: auto-?reply)?|"
    r"resposta autom[áa]tica|r[ée]plica autom[áa]tica|"
    r"aus[êe]ncia tempor[áa]ria|fora do escrit[óo]rio|respuesta autom[áa]tica|fuera de (?:la )?oficina|"
    r"undeliverable|undelivered|"
    r"n[ãa]o (?:foi|é) poss[íi]vel entregar|n[ãa]o entregue|no se puede entregar|no se pudo entregar|"
    r"no entregado) ?: [^?]*$|"
    r"(?:undelivered mail returned to sender|mail delivery (?:failed|failure|subsystem)|"
    r"delivery status notification|returned mail|"
    r"failure notice|falha na entrega da mensagem|notifica[çc][ãa]o de status de entrega|"
    r"notificaci[óo]n de estado de entrega)"
    r"(?: ?\([\w ]+\)| ?: ?[^?]*)?$)"
)
# "Read: the contract" may be a person's subject, so the body must say the same.
_RECEIPT_SUBJECT: Final = re.compile(r"(?i)(?:not read|read|n[ãa]o lida|lida|no le[íi]do|le[íi]do) ?: ")
_RECEIPT: Final = re.compile(
    r"(?i)\b(?:your message|sua mensagem|(?:su|el) mensaje)\b.{0,300}\b(?:was (?:read|deleted)|foi (?:lida|"
    r"exclu[íi]da)|fue le[íi]do)\b"
)
_CUES: Final = (
    re.compile(  # says itself that it is automatic
        r"(?i)\b(?:this is an automat\w+|automat(?:ed|ic) (?:reply|response|message|confirmation)|"
        r"(?:resposta|respuesta|mensagem|mensaje|confirmaç[ãa]o|aviso) (?:gerad[ao] )?autom[áa]tic|"
        r"e-?mail (?:gerado )?autom[áa]tic|(?:gerad[ao]|enviad[ao]|generado|enviado) autom[áa]ticamente|"
        r"(?:generated|sent) automatically|auto-?generated)"
    ),
    re.compile(
        r"(?i)\b(?:do not reply|don't reply|n[ãa]o responda|n[ãa]o [ée] necess[áa]rio (?:responder|reenviar)|"
        r"favor n[ãa]o responder|no responda)\b"
    ),
    re.compile(  # receipt of a message
        r"(?i)\b(?:recebemos (?:a )?(?:su[ao]|seu) (?:contato|mensagem|e-?mail|solicitaç[ãa]o|pedido)|"
        r"obrigad[oa] p(?:elo|or) (?:seu |entrar em )?contato|hemos recibido su|"
        r"we(?:'ve| have)? (?:have )?received your (?:request|message|e-?mail|ticket|inquiry)|"
        r"thank(?:s| you) for (?:contacting|reaching out|your (?:message|e-?mail|inquiry)))"
    ),
    re.compile(  # promises an answer
        r"(?i)\b(?:responderemos|retornaremos|entraremos em contato|(?:will|shall) (?:reply|respond|get back)|"
        r"hor[áa]rio de (?:atendimento|funcionamento)|business hours|dias [úu]teis|business days)\b"
    ),
    re.compile(  # absence
        r"(?i)\b(?:(?:i am|i'm|i will be) (?:currently )?(?:out of (?:the )?office|on (?:annual |parental )?leave|"
        r"on (?:vacation|holiday)|away from)|"
        r"(?:estou|estarei|encontro-me|me encontro) (?:ausente|de f[ée]rias|(?:de|em) licença|"
        r"fora do escrit[óo]rio|em viagem)|estoy (?:ausente|"
        r"de vacaciones|fuera de la oficina))"
    ),
    re.compile(
        r"(?i)\b(?:will (?:return|be back)|retorn(?:o|arei)|regresso|volto|regresar[ée]|volver[ée])\b.{0,20}\d"
    ),  # return
    re.compile(  # what to do meanwhile
        r"(?i)\b(?:limited access to|acesso limitado a|acceso limitado a|(?:urgent|urgentes?|"
        r"urg[êe]ncias?)\b.{0,40}\b(?:contact|contate|contacte|contatar|procur[ea]r?|"
        r"fal(?:e|ar) com|ligue|lig(?:ue|ar) para|call|contactar|escriba))"
    ),
    re.compile(
        r"(?i)\b(?:delivery is delayed|delivery will continue to be attempted|entrega aos seguintes destinat)"
    ),
    re.compile(  # delivery failure
        r"(?i)\b(?:(?:message|mail) (?:was not|wasn't|could not be|couldn't be) delivered|delivery has failed to|"
        r"address not found|"
        r"mensagem n[ãa]o p[ôo]de ser entregue|endereço n[ãa]o encontrado|no se pudo entregar el mensaje)"
    ),
    re.compile(r"(?i)\b(?:mailer-daemon|postmaster@|final-recipient:|diagnostic-code:|smtp; ?5\d\d|550 5\.\d\.\d)"),
)
# A customer on holiday may also write two cues: "estou de férias, volto dia 10 e preciso da internet".
_REQUEST: Final = re.compile(
    r"(?i)\b(?:preciso|quer(?:o|ia)|gostaria|n[ãa]o (?:consigo|funciona)|i need|i want|i'd like|necesito|quiero)\b"
)


def is_automatic(text: str) -> bool:
    """Whether `text` (subject, newline, body) was written by a program that answers or reports mail."""
    start = text.lstrip()[: 2 * _HEAD].lower()
    for hint in _HINTS:  # a third of the time of a generator
        if hint in start:
            break
    else:
        return False
    subject, _, body = readable(start).partition("\n")
    head = " ".join(body[:_HEAD].split())
    if _CERTAIN_SUBJECT.match(subject):
        return True
    if _RECEIPT_SUBJECT.match(subject) and _RECEIPT.search(head):
        return True
    return sum(bool(cue.search(head)) for cue in _CUES) >= 2 and "?" not in head and not _REQUEST.search(head)
