"""The choice of the messages that a conversation's label is about, and the text composed from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.labelled_conversations import parts
from triagem.contracts import conversation
from triagem.contracts.conversation import MAX_CHARS, ConversationMessage, combine, judge
from triagem.contracts.prediction import AbstainReason
from triagem.contracts.small_talk import evidence
from triagem.contracts.ticket import Author, OnReply

WORDS = [f"{first}{second}lo" for first in ("ca", "me", "si", "to") for second in "bcdfglmprst"]


def said(*texts: str) -> list[ConversationMessage]:
    """Messages of a customer, with the ids 0, 1, …"""
    return [ConversationMessage(text, id=str(index)) for index, text in enumerate(texts)]


def judged(*texts: str, on_reply: OnReply = OnReply.CONVERSATION) -> list[str]:
    """The ids of the judged messages."""
    return judge(said(*texts), on_reply).message_ids


def test_agents_and_bots_are_not_judged() -> None:
    messages = [
        ConversationMessage("Olá! Em que posso ajudar?", Author.BOT, "1"),
        ConversationMessage("Quero um orçamento", Author.CUSTOMER, "2"),
        ConversationMessage("Segue o orçamento do plano anual", Author.AGENT, "3"),
    ]

    assert judge(messages, OnReply.CONVERSATION).message_ids == ["2"]
    assert judge(messages[:1], OnReply.CONVERSATION).parts == []


@pytest.mark.parametrize("small_talk", ["Obrigado!", "oi", "👍", "ok, valeu"])
def test_small_talk_changes_nothing(small_talk: str) -> None:
    alone = judge(said("Quero um orçamento"), OnReply.CONVERSATION)
    closed = judge(said("Quero um orçamento", small_talk), OnReply.CONVERSATION)

    assert closed == alone
    assert judged(small_talk, "Quero um orçamento") == ["1"]


def test_a_conversation_of_nothing_but_small_talk_gets_no_decision() -> None:
    verdict = judge(said("oi", "obrigado"), OnReply.CONVERSATION)

    assert verdict.message_ids == ["0", "1"]
    assert verdict.abstains is AbstainReason.GREETING


def test_without_a_customer_there_is_nothing_to_judge() -> None:
    verdict = judge([], OnReply.CONVERSATION)

    assert (verdict.message_ids, verdict.parts, verdict.abstains) == ([], [], AbstainReason.NO_WORDS)


@pytest.mark.parametrize(("on_reply", "ids"), [(OnReply.FIRST, ["1"]), (OnReply.LATEST, ["2"])])
def test_the_label_may_be_about_the_first_or_the_latest_request(on_reply: OnReply, ids: list[str]) -> None:
    assert judged("oi", "Quero um orçamento de bolo", "Minha internet caiu", "obrigado", on_reply=on_reply) == ids


def test_a_single_message_is_cleaned_as_a_whole_text_is() -> None:
    (message,) = said("<p>Fui cobrado&nbsp;duas vezes</p>")

    assert judge([message], OnReply.CONVERSATION).text == "Fui cobrado duas vezes"


def test_of_a_long_conversation_its_first_and_newest_requests_are_judged() -> None:
    texts = [f"Quero o plano anual completo {number}" for number in range(40)]

    assert judged(*texts) == [*map(str, range(4)), *map(str, range(28, 40))]


def test_small_talk_pushes_no_request_out_of_a_long_conversation() -> None:
    small_talk = ["pode ser amanhã às 10h?", "ok", "Perfeito, pode mandar"] * 15

    assert judged("oi", "bom dia", "tudo bem?", "olá", "Minha internet caiu", *small_talk) == ["4"]


def test_a_longer_conversation_is_judged_as_its_ends() -> None:
    texts = said(*(f"Quero o plano anual completo {number}" for number in range(100)))

    assert judge(texts, OnReply.CONVERSATION) == judge(texts[:4] + texts[-60:], OnReply.CONVERSATION)


def test_the_newest_message_is_judged_however_long_the_others_are() -> None:
    long = "Plano anual, modem fixo, internet, roteador, cabo. " * (MAX_CHARS // 40)

    assert judged(*[long] * 6, "Minha internet caiu") == ["0", "1", "2", "3", "6"]


def test_of_a_long_conversation_only_as_many_messages_are_examined_as_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined = list[str]()

    def counted(text: str) -> int:
        examined.append(text)
        return evidence(text)

    monkeypatch.setattr(conversation, "evidence", counted)
    verdict = judge(said(*[f"Quero um orçamento de {word}" for word in WORDS]), OnReply.CONVERSATION)

    assert len(WORDS) > len(verdict.parts) == len(examined) + 1


class TestSmallTalk:
    @pytest.mark.parametrize(
        "text",
        [
            "Obrigado!",
            "Perfeito, pode mandar",
            "Great, send it over please",
            "blz, fico no aguardo",
            "pode ser amanhã às 10h?",
            "Vou falar com o meu sócio e te dou um retorno até sexta",
            "Sorry for the late reply, I was in a meeting",
            "meu nome é João Carlos da Silva Pereira",
            "OBRIGADAAA",
            "",
            "não tem problema",
            "não vou poder atender hoje, estou dirigindo",
            "Don't worry, I can't make it tomorrow",
            "Ok, recebi e assinei, vou levar na portaria quando sair do trabalho",
            "aceitei o convite no calendário",
            "escolhemos, pode preparar",
            "attached, ready when you are",
            "nosso email é compras.loja@padaoreal.com.br",
            "BR882019334LG",
            "our postcode is LS6 2QR, landing at 11:40 with LH1822",
            "é apartamento 42, pode deixar com o porteiro",
            "kkkkk hahahaha rsrsrs",
        ],
    )
    def test_gives_no_evidence(self, text: str) -> None:
        assert evidence(text) == 0

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a entrega foi parcial", 2),
            ("quanto custa o plano anual?", 4),
            ("My order arrived late", 3),
            ("ENTREGA ATRASADA", 2),
            ("entrega, entrega atrasada", 2),
            ("Quero cotação de cinco notebooks com tela grande, mouse e teclado para meu escritório novo", 6),
        ],
    )
    def test_a_request_counts_by_its_different_words_up_to_six(self, text: str, words: int) -> None:
        assert evidence(text) == words

    def test_a_few_words_of_many_are_small_talk(self) -> None:
        assert evidence("vou ver aqui com o meu marido e depois te falo sobre a entrega e o valor") == 0

    def test_a_word_after_an_identifier_with_a_full_stop_starts_a_sentence(self) -> None:
        assert evidence("Pedido 55120A. Boleto pago") == evidence("Pedido. Boleto pago") == 3

    @pytest.mark.parametrize(
        ("text", "words"),
        [("quero comprar pilha", 4), ("vou comprar pilha e já volto", 2), ("I'll buy batteries", 2)],
    )
    def test_a_purchase_that_the_customer_announces_is_not_a_wish(self, text: str, words: int) -> None:
        assert evidence(text) == words

    @pytest.mark.parametrize("text", ["quero cancelar", "e o reembolso?", "I want to buy it", "QUEBROU!", "descolou"])
    def test_a_word_of_failure_or_wish_counts_as_three(self, text: str) -> None:
        assert evidence(text) == 3

    @pytest.mark.parametrize(
        "text",
        [
            "não consigo entrar",
            "não liga",
            "não apareceu",
            "ainda não voltou",
            "não está abrindo",
            "can't log in",
            "It doesn\u2019t work",
            "it did not arrive",
        ],
    )
    def test_a_negated_word_counts_as_three(self, text: str) -> None:
        assert evidence(text) == 3

    def test_a_negation_ends_with_its_sentence(self) -> None:
        assert evidence("Ainda não. Boleto pago") == 2

    def test_a_failure_counts_among_many_everyday_words(self) -> None:
        assert evidence("Aliás, minha máquina atual não liga desde ontem, o que eu faço?") > 3


def combined(*texts: str, venda: list[float]) -> float:
    """The probability of the second label, combined from the probabilities of the single texts."""
    return combine(texts, [[1 - probability, probability] for probability in venda])[1]


class TestCombined:
    def test_a_single_part_keeps_its_probabilities(self) -> None:
        assert combine(["obrigado"], [[0.1, 0.7, 0.2]]) == [0.1, 0.7, 0.2]

    def test_small_talk_changes_nothing(self) -> None:
        after = combined("quero um orçamento", "Perfeito, pode mandar", venda=[0.96, 0.04])

        assert after == pytest.approx(0.96)

    @pytest.mark.parametrize("probability", [0.3, 0.04, 0.0001])
    def test_a_request_about_something_else_changes_the_label_however_sure_the_model_is(
        self, probability: float
    ) -> None:
        complaint = "minha internet caiu ontem e o modem pisca vermelho"

        assert combined("quero um orçamento", complaint, venda=[0.999, probability]) < 0.5

    def test_two_telling_words_do_not_change_the_label_however_sure_the_model_is(self) -> None:
        assert combined("quero um orçamento", "artwork folder", venda=[0.99, 0.0001]) > 0.5

    def test_a_few_words_alone_leave_the_label_in_doubt(self) -> None:
        assert 0.2 < combined("quero um orçamento", "chegou parcial", venda=[0.96, 0.05]) < 0.95

    @pytest.mark.parametrize("change", ["quero cancelar", "não consigo entrar"])
    def test_a_few_words_of_failure_or_wish_change_the_label(self, change: str) -> None:
        assert combined("quero um orçamento", change, venda=[0.96, 0.05]) < 0.5

    def test_a_second_message_about_it_removes_the_doubt(self) -> None:
        texts = "quero um orçamento", "chegou parcial", "a tampa do vidro descolou"

        assert combined(*texts, venda=[0.96, 0.05, 0.05]) < 0.25

    @given(
        st.lists(st.sampled_from(["a entrega atrasou", "obrigado", "quero o plano anual completo"]), min_size=1),
        st.data(),
    )
    def test_probabilities_sum_to_1_and_none_is_lost(self, texts: list[str], data: st.DataObject) -> None:
        row = st.sampled_from([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])

        probabilities = combine(texts, [data.draw(row) for _ in texts])

        assert sum(probabilities) == pytest.approx(1)
        assert all(0 <= probability <= 1 for probability in probabilities)


class TestParts:
    def test_each_request_is_a_part_and_small_talk_is_left_out(self) -> None:
        texts = ["Oi", "Quero um orçamento de panfletos", "Perfeito, pode mandar", "Os cartões vieram errados"]

        assert parts(said(*texts)) == [texts[1], texts[3]]

    def test_messages_that_say_little_alone_are_one_text(self) -> None:
        assert parts(said("oi", "a internet", "caiu", "o técnico não apareceu")) == [
            "a internet\n\ncaiu",
            "o técnico não apareceu",
        ]

    def test_a_short_opening_is_judged_together_with_the_message_that_completes_the_subject(self) -> None:
        texts = "Quero uma proposta", "pode ser por aqui", "a demanda contratada é 300 kW", "Obrigado, aguardo"

        assert parts(said(*texts)) == [f"{texts[0]}\n\n{texts[2]}"]

    def test_small_talk_does_not_join_a_short_opening(self) -> None:
        texts = "Quanto custa?", "Perfeito, pode mandar", "pode ser amanhã às 10h?"

        assert parts(said(*texts)) == ["Quanto custa?"]

    def test_without_any_telling_word_all_messages_are_judged(self) -> None:
        assert parts(said("preciso falar com vocês", "quanto fica?")) == ["preciso falar com vocês\n\nquanto fica?"]
