"""Measures, by its words, how much a message says about the customer's request. Pure; Portuguese and English.

A classifier is as sure of "pode ser amanhã às 10h?" as of a request, so its probabilities do not separate small talk
from a change of subject. Its words do: small talk consists of the words listed below. All words of other languages
count as telling.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from unicodedata import combining

from triagem.contracts.cleaning.addition_patterns import COURTESIES
from triagem.contracts.unicode_form import normalized

# Chosen with `conversation.SMALL_TALK` (decision 16).
SUBJECT_WORDS: Final = 2
_MIN_SHARE: Final = 1 / 4
_MANY_WORDS: Final = 6  # this many telling words are enough, whatever their share
_DECISIVE_WEIGHT: Final = 3  # a decisive word counts as this many
_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:['\u2019]t\b)?")  # "can't" is a word
_IDENTIFIER: Final = re.compile(r"(?<!\S)\S*[\d@](?:\S*\w)?")  # a code, a time, an e-mail address
_LAUGHTER: Final = re.compile(r"k|(?:rs)+|(?:[hj][aeiu]){2,}h?|(?:hue)+|lol")
_APOSTROPHE: Final = re.compile(r"['\u2019]")
_LONGEST_CACHED: Final = 32  # characters: bounds the cache's memory
_REPEATED: Final = re.compile(r"(.)\1+")
_NEGATED_WORDS: Final = 2  # after a negation
_FAR: Final = 99
_SENTENCE_END: Final = ".!?:\n"
# Function words; courtesies; times; and verbs and nouns of arrangements: wait, send, confirm, call, name, address.
_PORTUGUESE: Final = """
um uma uns umas de do da dos das em no na nos nas num numa por pelo pela pelos pelas para pra pro pras pros com sem
sob sobre ao aos ou mas que se como quando onde porque pq pois entao eu tu vc vcs voce voces ele ela eles elas me te
lhe meu minha meus minhas seu sua seus suas teu tua nosso nossa isso isto esse essa este esta esses essas aquilo
aquele aquela ai aqui la ali algo alguem todo toda nada outro outra mesmo mesma proprio ser sou eh sao era foi fui for
seja estar estou to ta estao estava estamos tamos ter tenho tem tinha tive ha vai vou vao vamos ir indo va vem vir
posso pode podem podemos poder consigo consegue conseguimos faco faz fazer feito fiz quero queria preciso deixa deixo
dar dou deu sim nao ainda agora hoje ontem amanha depois antes logo cedo manha semana mes ano hora horas min minutos
minuto segunda terca quarta quinta sexta sabado domingo feira fds feriado fim final sempre tambem so mais menos muito
muita mt mal ok okay okey blz beleza certo perfeito perfeita otimo otima excelente legal bacana massa joia show bola
maravilha maravilhoso top valeu vlw brigado brigada obg obrigadao agradeco agradecido fechado fechou combinado
confirmado confirmo confirma confirmar entendi entendido tranquilo tranq aham uhum opa eba oba oie alo bons boas tchau
abs bjs feliz amei adorei gostei rs rsrs haha gentileza favor pf pfv pfvr desculpa desculpe desculpas perdao deus
gracas paciencia atencao atendimento ajuda disposicao trabalho aguardo aguardando aguardar espero esperando esperar
fico ficar ver vejo vendo olhar falar falo falei conversar retorno retornar retorna aviso avisa avisar avise chamo
chama mando manda mande mandar mandei mandou mandado envio envia enviar enviei enviado segue seguem anexo anexei
recebi recebido pronto prontinho liberado resolvido resolveu voltou funcionou gente amigo amiga moca moco nome cpf
cnpj cep email mail telefone numero endereco rua casa chegar chego cheguei chegando reuniao celular zap whatsapp
demora responder respondo respondi ligacao ligar liga ligo lig qualquer coisa passo passar passei documento documentos
comprovante pix foto fotos print explicacao claro clara noticia rapido rapidez livre marido esposa socio chefe gerente
secretaria familia mae pai assim enquanto dentro possivel horario completo agendado marcado combinar atender atendeu
recado mensagem grupo contato salvei anotado anotei imprevisto pensar penso decidir decido tirar duvida duvidas
gostaria saber informacao informacoes atendente perto portaria recepcao porta interfone pessoal transito atendi
assinei assinar devolvi procurar procura alias oi precisa precisava sei souber sabe dizer digo diga perguntar pergunto
pergunta incomodar incomodo junto rapaz senhor senhora irma irmao filha filho dia dias daqui pouco pouca pouquinho
volto levar levo busco buscar pegar pego compromisso viagem viajando dirigindo almoco jantar certinho calma olhada
encaminhar encaminho analisar analiso avaliar entendo sair saio saindo bastante algum alguma alguns algumas nenhum
nenhuma gostar demais achar acho acha achei dois duas tres ate desde aproveitando pressa preocupa preocupe lembro
esqueci vi visto consegui esperava imaginava tao atendido atendida aceito aceitei convite calendario agenda acordo
ficou ficaram mostrar mostro mostrei escolher escolho escolhi escolhemos comparar comparo preparar prepara separar
separa separo aprovado aprovada aprovo aprovei retirar retiro retirei testar testo testei fechar fecho fechamos topo
topou assinado assinada assinamos conhecer visitar visita parabens capricho equipe pessoal melhor medir normalizou
normalizado gerar apareceu apareceram
cada ambos apenas somente quase talvez cerca tipo jeito caso fora durante apos resto parte kg quilo quilos metro
metros reais anos nascido nascida nascimento idade casado casada solteiro solteira bairro bloco apto ap apartamento
andar esquina frente fundos lado avenida av praca centro condominio predio cidade campainha porteiro vizinho vizinha
garagem moro titular protocolo noivo noiva namorado namorada primo prima avo tio tia cunhado cunhada sogra sogro
agendar marcar reservar reserva seguir prosseguir continuar emitir coletar providenciar nossa poxa puxa ufa eita vixe
tmj gratidao efetuei paguei acabei primeira opcao recomendo avaliei avaliar estrelas tava tavam banho instante
"""
_ENGLISH: Final = """
an and or but of in on by from with without if than then that this these those here it its he she they them him her
his we us our your my mine one ones is am are was were be been being does did done doing have has had having will
would can could shall should may might must let lets yes not yeah yep yup nope already yet still now today tomorrow
yesterday later soon after before night tonight day days week weekend month year hour hours minute minutes pm monday
tuesday wednesday thursday friday saturday sunday alright right sure fine great perfect perfectly excellent awesome
cool lovely wonderful brilliant nice super amazing thx cheers appreciate appreciated please pls sorry bye welcome
helpful help very really much many lot also just only well wait waiting talk speak call back reply answer hear hearing
look looking forward send sent sending share get got go going come coming take check confirm confirmed know tell think
received agreed works worked working deal name number address phone re ve ll meeting meetings message replies manager
husband wife home partner boss colleague documents document picture pictures photo photos when moment while busy
driving full reach anytime anything something everything someone earlier quick quickly questions question helped
helping chat ask asked need needed noted understood clear makes sense want like info information enquiry inquiry
morning evening afternoon floor available around either sounds thinking decided few things sign signed traffic running
calling caller see make mind worry hurry rush attached attach placed ordered sorted happy ready reception gone through
pop popping drop dropping found copy form sweet legend phew yay afterwards trouble written write
both until till perhaps probably actually guess enough fair better best sooner early possible ahead set up off over
kilos metres meters years old married single street road avenue flat building side entrance gate buzzer bell corner
postcode zip city town brother sister mother father mum mom dad son daughter neighbour neighbor cousin girlfriend
boyfriend landing flight arrive arriving arrival leaving arrange proceed reserve mate dear else nothing time times
leave option past stars solved resolved hang grab wallet sec instant probs
"""
# Verbs and nouns of failure or wish: a single one states what the customer wants.
_DECISIVE: Final = """
cancelar cancela cancelo cancelamento comprar contratar orcamento cotacao desconto trocar troca devolver devolucao
reembolso estorno estornar quebrou quebrado quebrada quebraram defeito erro errado errada errados erradas estragado
estragada estragou parou travou travando queimou vazando pingando sumiu sumiram atrasou rachado rachada rachou negado
negada recusado recusada procon cobrado cobrada cobraram cobrou descolou soltou rasgou rasgado rasgada furado furada
amassado amassada riscado riscada manchado manchada bloqueado bloqueada bloqueou invalido invalida expirado expirada
cancel cancelling refund return broken broke crash crashes crashed crashing error wrong stuck frozen freezes leaking
missing damaged buy purchase quote complaint stopped fails failed faulty charged overcharged declined rejected blocked
locked invalid expired torn scratched stained bent
"""
_NEGATIONS: Final = """
nao nem nunca not never cannot cant dont doesnt didnt isnt arent wasnt wont havent hasnt
"""
# Words of arrangements that name a failure if negated, and words that reassure if negated.
_FAILING: Final = (
    "liga ligar ligou ligando funciona funcionou funcionando recebi voltou resolveu apareceu apareceram "
    "work works worked working arrive arriving"
)
# "vou comprar pilha": a person who announces a purchase does not ask for one.
_BUYING: Final = "comprar contratar buy purchase"
_ANNOUNCING: Final = "vou vamos ll gonna"
_REASSURING: Final = "problema problemas reclamar problem problems complaints"


def folded(word: str) -> str:
    """A word in lower case without accents and repeated letters: people write `voce` and `obrigadooo`."""
    return _folded(word) if len(word) <= _LONGEST_CACHED else _folded.__wrapped__(word)


@lru_cache(maxsize=8192)
def _folded(word: str) -> str:
    if not word.isascii():
        word = "".join(char for char in normalized("NFKD", word) if not combining(char))
    return _REPEATED.sub(r"\1", word.casefold())


def _keys(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(folded, words))


_SMALL_TALK: Final = _keys([*COURTESIES, *_PORTUGUESE.split(), *_ENGLISH.split()])
_DECISIVE_KEYS: Final = _keys(_DECISIVE.split())
_NEGATION_KEYS: Final = _keys(_NEGATIONS.split())
_FAILING_KEYS: Final = _keys(_FAILING.split())
_REASSURING_KEYS: Final = _keys(_REASSURING.split())
_BUYING_KEYS: Final = _keys(_BUYING.split())
_ANNOUNCING_KEYS: Final = _keys(_ANNOUNCING.split())


def telling_words(cleaned: str) -> int:
    """The number of different telling words, at most six. `SUBJECT_WORDS` of them state a subject."""
    return _telling_words(cleaned)[0]


def evidence(cleaned: str) -> int:
    """The number of different telling words, at most six; 0 for small talk."""
    telling, words = _telling_words(cleaned)
    enough = telling >= SUBJECT_WORDS and (telling >= _MIN_SHARE * words or telling >= _MANY_WORDS)
    return telling if enough else 0


def _telling_words(cleaned: str) -> tuple[int, int]:
    """The number of different telling words, at most six, and of all words up to the last of them.

    A word is telling if it is not in the lists above, not laughter, not a part of an identifier, and not a name:
    written with a capital inside a sentence. A decisive word, and a telling one that a negation precedes, counts as
    three: "cancelar", "não está abrindo".
    """
    telling = dict[str, int]()
    words = last_end = 0
    since_negation, previous = _FAR, ""
    cleaned = _IDENTIFIER.sub(" ", cleaned)
    for match in _WORD.finditer(cleaned):
        words += 1
        word, between = match[0], cleaned[last_end : match.start()]
        starts_sentence = last_end == 0 or any(char in between for char in _SENTENCE_END)
        last_end = match.end()
        key, before = folded(_APOSTROPHE.sub("", word)), previous
        previous = key
        since_negation = _FAR if starts_sentence else since_negation + 1
        if key in _NEGATION_KEYS:
            since_negation = 0
            continue
        fails = since_negation == 1 and key in _FAILING_KEYS
        if fails or not (key in _SMALL_TALK or _LAUGHTER.fullmatch(key) or (word.istitle() and not starts_sentence)):
            negated = since_negation <= _NEGATED_WORDS and key not in _REASSURING_KEYS
            decisive = key in _DECISIVE_KEYS and not (key in _BUYING_KEYS and before in _ANNOUNCING_KEYS)
            weight = _DECISIVE_WEIGHT if fails or negated or decisive else 1
            telling[key] = max(weight, telling.get(key, 0))
            if sum(telling.values()) >= _MANY_WORDS:
                break
    return min(sum(telling.values()), _MANY_WORDS), words
