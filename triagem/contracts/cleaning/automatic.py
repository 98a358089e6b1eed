"""Recognizes automatic messages in pt, en and es: out-of-office replies, delivery failures, receipts and notices.

Automatic messages are not customers' requests, but a message about them is one ("how do I set up an out-of-office
reply?"). So the evidence must be a prefix that a program writes before the subject, or two different cues at the
start of the body.
"""

import re
from typing import Final

from triagem.contracts.cleaning.readable import readable

# All patterns read text in lower case.
_HEAD: Final = 600  # characters of the body in which cues count
# Every automatic message has one of these: a quick check, since hardly any message is automatic.
_HINTS: Final = (
    "auto", "office", "ausen", "ausên", "deliver", "entreg", "falha", "read", "lid", "leíd", "leid", "fuera", "fora ",
    "férias", "vaca", "failure", "escrit", "licen", " leave", "em contato", "contacting", "reaching out", "received",
    "recebemos", "recebid", "holiday", "ooo", "away", "afastad", "dispon", "agradecemos", "monitor", "no longer",
    "have left", "receipt", "leitura", "convite", "invitation", "relayed", "retransmit", "could not send", "blocked",
    "reply", "responda", "resposta", "no momento", "acesso", "access to", "trabalho mais", "confirm you", "moderator",
    "your e", "sua mensagem", " full", "thank you for", "accepted", "declined", "recipient", "closed", "expediente",
    "encerrad", "recesso", "desativ", "in use", "verif", " opção", "option", "registrad", "created", " cheia", "smtp",
    "this period", "no período", "este período", "rejeit", "out sick", "case number",
)  # fmt: skip
# The whole subject, or a prefix with a colon. A person who asks about an automatic message writes none of these.
_CERTAIN_SUBJECT: Final = re.compile(
    r"(?:\[[^\][]{1,40}\]\s*)?(?:"
    r"(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|(?:out of (?:the )?office|ooo)(?: auto-?reply| re)?|"
    r"resposta autom[áa]tica|r[ée]plica autom[áa]tica|automatische antwort|r[ée]ponse automatique|"
    r"aus[êe]ncia tempor[áa]ria|fora do escrit[óo]rio|respuesta autom[áa]tica|fuera de (?:la )?oficina|"
    r"undeliverable|undelivered|"
    r"n[ãa]o (?:foi|é) poss[íi]vel entregar|n[ãa]o entregue|no se puede entregar|no se pudo entregar|"
    r"no entregado) ?: [^?]*$|"
    r"(?:undelivered mail returned to sender|mail delivery (?:failed(?=: returning)|subsystem|system)|"
    r"delivery status notification|delivery failure(?=: user)|warning: could not send message|"
    r"your message to .{1,80} awaits moderator approval|notifica[çc][ãa]o de status de entrega|"
    r"notificaci[óo]n de estado de entrega)(?: ?\([\w ]+\)| ?: ?[^?]*| for past \d[^?]*)?$)"
)
# Subjects that people write too ("Delivery failed", "Accepted: quote 12"): a cue like those in the body.
_LIKELY_SUBJECT: Final = re.compile(
    r"(?:\[[^\][]{1,40}\]\s*)?(?:(?:ausente|aus[êe]ncia|f[ée]rias|(?:annual )?leave|vacation|holiday|away|auto|"
    r"(?:n[ãa]o estou no|fora do) escrit[óo]rio|accepted|declined|tentative|aceit[ao]|recusad[ao]|lido|"
    r"delivered|entregue|relayed|retransmitida|expandida)(?: ?:| re:)|\[request received\]|"
    r"(?:(?:mensagem|retorno|aviso) autom[áa]tic[ao]|automatic (?:message|reply)|auto-?reply|vacation reply|"
    r"no-?reply|mail delivery (?:failed|failure)|delivery (?:has )?failed|delivery (?:delayed|incomplete|failure)|"
    r"failure notice|returned mail|message (?:blocked|bounced|not delivered)|recipient inbox full|"
    r"(?:falha na|notifica[çc][ãa]o de(?: falha na)?) entrega(?: da mensagem)?|"
    r"mensagem (?:n[ãa]o entregue|devolvida|bloqueada)|entrega (?:com atraso|atrasada|adiada)|"
    r"(?:solicita[çc][ãa]o|mensagem|chamado|request|message|ticket|case) (?:recebid[oa]|abert[oa]|received|created)|"
    r"undeliverable (?:mail|message)|message undeliverable|your message (?:couldn't|could not) be delivered|"
    r"mail system error|devolu[çc][ãa]o de e-?mail|mensagem lida|"
    r"n[ãa]o foi poss[íi]vel entregar (?:a|sua) mensagem|your e-?mail requires verification|resposta autom[áa]tica|"
    r"confirme seu e-?mail.{0,60}|please confirm your (?:e-?mail|message)|"
    r"(?:confirma[çc][ãa]o|aviso|recibo) de (?:leitura|recebimento)|(?:return|read) receipt)"
    r"(?: ?\([\w ]{1,30}\))?(?: ?[:\u2013-]|$))"
)
# "Read: the contract" may be a person's subject, so the body must say the same.
_RECEIPT_SUBJECT: Final = re.compile(r"(?:not read|read|n[ãa]o lida|lida|no le[íi]do|le[íi]do) ?: ")
_RECEIPT: Final = re.compile(
    r"\b(?:your message|(?:a )?(?:sua )?mensagem|(?:su|el) mensaje)\b.{0,300}\b(?:was (?:read|deleted)|foi (?:lida|"
    r"exclu[íi]da)|fue le[íi]do)\b"
)
_MESSAGE: Final = r"(?:e-?mail|message|mensagem|mensaje|request|ticket|inquiry|solicitaç[ãa]o|contato|chamado)"
_SELF_DECLARED: Final = (
    r"(?:automat(?:ed|ic)(?:ally generated)? (?:reply|response|message|e-?mail|confirmation|notification|"
    r"acknowledg\w+)|"
    r"(?:resposta|respuesta|mensagem|mensaje|e-?mail|confirmaç[ãa]o|aviso|serviço|atendimento|envio) (?:gerad[ao] )"
    r"?autom[áa]tic)"
)
# Evidence on its own: a program says what it is, or where it could not deliver.
_CERTAIN_CUE: Final = re.compile(
    rf"\b(?:this is an|est[ae] (?:é|e) uma?|esta es una) {_SELF_DECLARED}|"
    r"\b(?:your message|sua mensagem) (?:\w+ ){0,2}(?:(?:was not|wasn't|could not be|couldn't be) delivered|"
    r"n[ãa]o p[ôo]de ser entregue) (?:to|a|ao|para) .{0,40}(?:@|destinat[áa]rios|recipients)"
)
# Each pattern needs one of its words, which are looked up before: patterns take ten times as long.
_WORDS_AND_CUES: Final = (
    (
        """
        auto automatic automated automatically autogenerated autoreply automática automatica automático
        automatico automáticamente automaticamente
        """,
        re.compile(  # says itself that it is automatic
            rf"\b(?:this is an automat\w+|{_SELF_DECLARED}|(?:gerad|enviad|generad)[ao] autom[áa]ticamente|"
            r"(?:generated|sent|created) automatically|auto-?(?:generated|reply))"
        ),
    ),
    (
        "reply respond responda responde responder reenviar",
        re.compile(
            r"\b(?:do not reply|don't reply|n[ãa]o responda|n[ãa]o [ée] necess[áa]rio (?:responder|reenviar)|"
            r"favor n[ãa]o responder|no responda|do not respond to this|reply to this e-?mail|"
            r"respond[ae] a este e-?mail)\b"
        ),
    ),
    (
        "monitored unmonitored monitorada monitorado recebe longer desativado desativada",
        re.compile(  # nobody reads replies
            r"\b(?:(?:not |un)monitored|n[ãa]o (?:[ée] )?monitorad[ao]|"
            r"n[ãa]o recebe (?:mensagens|respostas|e-?mails)|(?:inbox|mailbox|address) is no longer (?:in use|"
            r"active)|est[ea] (?:e-?mail|endereço|caixa) (?:de e-?mail )?foi desativad[oa])\b"
        ),
    ),
    (
        "deixe leave",
        re.compile(r"\b(?:deixe (?:aqui )?(?:a )?sua mensagem|leave (?:us )?a message)\b"),
    ),
    (
        """
        recebemos recibido recebida recebido recibida received obrigado obrigada agradecemos contacting
        reaching thank thanks confirmamos created opened logged registered encaminhado encaminhada
        registrado registrada aberto
        """,
        re.compile(  # receipt of a message
            rf"\b(?:recebemos (?:[ao] )?(?:su[ao]|seu) {_MESSAGE}|hemos recibido su|"
            rf"(?:your|su[ao]|seu) {_MESSAGE} (?:\([^()]{{1,20}}\) )?(?:has been|was|foi|ha sido) "
            r"(?:received|recebid|recibid)|"
            rf"we(?:'ve| have)? (?:have )?received your {_MESSAGE}|"
            rf"obrigad[oa] (?:pel[oa]|por) (?:seu |sua |entrar em )?{_MESSAGE}|"
            rf"agradecemos (?:pel)?(?:[oa] )?(?:seu |sua )?{_MESSAGE}|"
            rf"confirmamos o recebimento d[ao] (?:sua |seu ){_MESSAGE}|"
            rf"(?:your|seu|sua) (?:support )?{_MESSAGE} (?:has been|foi) "
            r"(?:created|opened|logged|registered|registrad[oa]|abert[oa]|encaminhad[oa] ao (?:setor|time)) |"
            r"(?:your|the) case number is|"
            rf"thank(?:s| you) for (?:contacting|reaching out|your (?:order )?{_MESSAGE}))"
        ),
    ),
    (
        """
        responderemos responderei retornaremos retornarei entraremos respondida respondido reply
        respond answer answered back touch contact contato atendente atendentes status acompanhe
        analisada analisado reviewed nosso horário horario hours funcionamos
        """,
        re.compile(  # promises an answer
            r"\b(?:respondere(?:mos|i)|retornaremos(?! com)|retornarei (?:o |seu |assim)|"
            r"entrar(?:á|emos) em contato|acompanhe (?:o andamento|pelo|em)|we aim to (?:answer|reply|respond)|"
            r"atendentes? (?:irá|vai) (?:te |lhe )?(?:responder|atender|retornar)|view the status of your|"
            r"ser[áa] respondid|(?:(?:will|shall) (?:be )?|we'll |i'll )(?:reply|respond|answered|"
            r"get back(?! to you with)|be in touch|contact you)|"
            r"est[áa] sendo analisad|is being reviewed|nosso horário|hor[áa]rio de (?:atendimento|funcionamento)|"
            r"(?:business|office) hours|funcionamos de )"
        ),
    ),
    (
        """
        office ooo leave vacation holiday away ausente férias ferias recesso licença afastado afastada
        escritório escritorio viagem treinamento momento agora disponíveis disponiveis vacaciones
        oficina sick travelling traveling closed disponível encerrado expediente fora
        """,
        re.compile(  # absence
            r"\b(?:(?:i am|i'm|i will be|i'll be) (?:currently )?(?:out of (?:the )?office|ooo|"
            r"on (?:\w+ )?(?:leave|vacation|holiday)|away|"
            r"out sick|travell?ing)|we(?: are|'re) currently away|n[ãa]o estou (?:no escritório|dispon[íi]vel)|"
            r"(?:office|offices|we) (?:is|are|will be) closed|"
            r"(?:empresa|escrit[óo]rio|loja) (?:está|estará) (?:em recesso|fechad[oa])|n[ãa]o haver[áa] expediente|"
            r"atendimento (?:está )?encerrado|estou fora at[ée]|"
            r"(?:estou|estarei|estaremos|encontro-me|me encontro) (?:ausente|"
            r"(?:em gozo )?(?:de|em) (?:f[ée]rias|recesso|licença)|afastad[oa]|"
            r"fora do escrit[óo]rio|em (?:viagem|treinamento))|"
            r"(?:no momento,?|agora) (?:n[ãa]o )?(?:estou|estamos|podemos|posso)|n[ãa]o estamos dispon[íi]veis|"
            r"estoy (?:ausente|de vacaciones|fuera de la oficina))"
        ),
    ),
    (
        "longer left trabalho trabalha parte",
        re.compile(  # has left
            r"\b(?:i am|i'm|is) no longer (?:with|at|working|employed)\b|\bhave left the company\b|"
            r"\bn[ãa]o (?:trabalh[oa] mais (?:na|no|nesta|em|aqui)|fa(?:ço|z) mais parte)\b"
        ),
    ),
    (
        """
        return returns returning back retorno retornarei retornando regresso volto volta regresaré
        regresare volveré volvere
        """,
        re.compile(  # return
            r"\b(?:(?:will|when i|i) (?:return|be back)|returning(?= (?:on|to|next|\d|tomorrow))|retorn(?:o (?:em|"
            r"no|na|dia|ao?|às?|\d)|arei|ando)|regresso|volto|de volta|regresar[ée]|volver[ée])\b.{0,20}\d|"
            r"\b(?:upon my return|when we return|returning tomorrow)\b"
        ),
    ),
    (
        """
        access acesso acceso urgent urgente urgentes urgência urgências urgencia urgencias emergência
        emergências emergencia emergencias emergency emergencies assistance necessidade ausência
        ausencia absence correspondence direct direcionar direcione direcionem instead utilize período
        alternativo
        """,
        re.compile(  # what to do meanwhile
            r"\b(?:(?:limited|intermittent|restricted|no) (?:e-?mail access|access to (?:my |the )?(?:e-?mail|mail|"
            r"inbox|internet))|(?:acesso|acceso) (?:limitado|restrito) a|sem acesso a(?:os?)? (?:meus? )?e-?mails?|"
            r"(?:urgent(?:es?)?|urg[êe]ncias?|emerg[êe]ncias?|emergency|emergencies|immediate assistance|necessidade|"
            r"(?:minha |my )?(?:aus[êe]ncia|absence))\b.{0,40}(?:\b(?:contact|reach out|trat(?:e|ar) com|contat[eo]|"
            r"contacte|contatar|"
            r"procur[ea]r?|fal(?:e|ar) com|ligue|lig(?:ue|ar) para|call|contactar|escriba)|: ?\(?\d)|"
            r"for (?:future|further) correspondence|contato alternativo|"
            r"(?:e-?mail|contact|use|write to|utilize)\b.{0,20} \S{1,60}@\S{1,60}(?: instead)?|"
            r"(?:durante|nesse|neste) (?:este |esse )?período,? (?:favor|por favor|contat|procur|envi)|"
            r"(?:direct|direcion(?:ar|em?)) (?:your|seus?) e-?mails?)"
        ),
    ),
    (
        "delivery delivered entrega entregue retry",
        re.compile(
            r"\b(?:delivery is delayed|delivery will continue to be attempted|will retry for|"
            r"(?:entrega|delivery|entregue|delivered) (?:aos?|para|to) (?:os |the )?"
            r"(?:seguintes|estes|following|these) (?:destinat|recipients))"
        ),
    ),
    (
        """
        delivered deliver delivering delivery entregue entregar undeliverable found encontrado endereço
        endereco blocked rejected rejeitou full cheia desativada reached reach
        """,
        re.compile(  # delivery failure
            r"\b(?:(?:message|mail)\b.{0,80} (?:was not|wasn't|could not be|couldn't be) delivered|"
            r"delivery has failed to|address not found|address couldn't be found|was undeliverable|(?:problem|"
            r"unable to) deliver(?:ing)? (?:your|the) message|"
            r"mensagem\b.{0,80} n[ãa]o p[ôo]de ser entregue|endereço n[ãa]o encontrado|"
            r"no se pudo entregar el mensaje|(?:n[ãa]o foi poss[íi]vel|n[ãa]o conseguimos) entregar (?:a |sua )"
            r"+mensagem|sua mensagem n[ãa]o foi entregue|"
            r"your message .{0,80}(?:has been|was) (?:blocked|rejected)|rejeitou (?:a |sua )+mensagem|"
            r"did not reach (?:some|all|the|its)|recipients? could not be reached|caixa postal cheia|"
            r"(?:inbox|mailbox|caixa (?:de correio|de entrada|postal)\b.{0,30}) (?:is|est[áa]) "
            r"(?:full|cheia|desativada))"
        ),
    ),
    (
        "lida exibida aberta read opened displayed recebimento receipt convite accepted declined",
        re.compile(  # a receipt, or the answer to an invitation
            r"\b(?:mensagem|message)\b.{0,120}\b(?:foi|was|has been) (?:lida|exibida|aberta|read|opened|displayed)\b|"
            r"\b(?:aviso|confirmaç[ãa]o) de recebimento do e-?mail\b|\breturn receipt for\b|"
            r"\b(?:aceitou|recusou) (?:este|esse|o|seu) convite|"
            r"\bhas (?:tentatively )?(?:accepted|declined) (?:this|the|your) (?:invitation|meeting|event)"
        ),
    ),
    (
        "encaminhada entregue confirm verify escolha digite",
        re.compile(  # asks the sender to prove that a person wrote, or to choose from a menu
            r"\bpara que sua mensagem seja (?:entregue|encaminhada)|"
            r"\b(?:confirm|verify) that you are (?:not a robot|an? |human)|"
            r"\b(?:escolha|digite|selecione) (?:uma opção|uma das opções|o número|[1-9] para)"
        ),
    ),
    (
        "daemon postmaster recipient diagnostic 550 552 554 smtp unknown",
        re.compile(
            r"\b(?:mailer-daemon|postmaster@|final-recipient:|diagnostic-code:|smtp; ?5\d\d|55\d[ -]5\.\d\.\d|"
            r"smtp error|user unknown)"
        ),
    ),
)
_CUES: Final = [(frozenset(words.split()), cue) for words, cue in _WORDS_AND_CUES]
_WORD: Final = re.compile(r"[^\W_]+")
_COURTEOUS_QUESTION: Final = re.compile(r"\b(?:tudo bem|how are you|urgente?|dúvidas|questions)\?")
# A customer on holiday may also write two cues: "estou de férias, volto dia 10 e preciso da internet". Parcels and
# mailboxes fail to be delivered too.
_REQUEST: Final = re.compile(
    r"\?|\b(?:preciso|quer(?:o|ia)|gostaria|n[ãa]o (?:consigo|funciona|entende)|como (?:recupero|fa[çc]o|posso|eu)|"
    r"senha|password|i need|i want|i'd like|necesito|quiero|"
    r"cancel(?:ar|em)?|reagend\w+|remarc\w+|suspend\w+|paus(?:e|ar|em)|refund|reembolso|courier|parcel|package|"
    r"entregador|transportadora|correios|encomenda|pacote|"
    r"(?:my|meus?|minhas?) (?:plan|order|account|card|subscription|invoice|service|domain|server|customers|mails?|"
    r"plano|pedido|conta|cart[ãa]o|fatura|entrega|assinatura|linha|casa|servi[dç]or?|dom[íi]nio|clientes?|alarme?))\b"
)
_CONTRARY: Final = re.compile(r"\b(?:mas|but|por[ée]m|still|ainda|yet)\b")  # in one line, an answer to such mail


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
    message = head or subject
    words = set(_WORD.findall(message))
    evidence = sum(not needed.isdisjoint(words) and bool(cue.search(message)) for needed, cue in _CUES)
    if not evidence:
        return False
    if _LIKELY_SUBJECT.match(subject) and not _REQUEST.search(subject):
        evidence += 1
    evidence += bool(_CERTAIN_CUE.search(message))
    enough = 3 if not head and _CONTRARY.search(subject) else 2
    return evidence >= enough and not _REQUEST.search(_COURTEOUS_QUESTION.sub("", message))
