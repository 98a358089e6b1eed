"""Which messages of a conversation are judged, and as which text."""

import pytest

from triagem.contracts.conversation import MAX_CHARS, ConversationMessage, judge
from triagem.contracts.prediction import AbstainReason
from triagem.contracts.ticket import Author, OnReply


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
    assert judged("oi", "Quero um orçamento", "Minha internet caiu", "obrigado", on_reply=on_reply) == ids


def test_a_single_message_is_cleaned_as_a_whole_text_is() -> None:
    (message,) = said("<p>Fui cobrado&nbsp;duas vezes</p>")

    assert judge([message], OnReply.CONVERSATION).text == "Fui cobrado duas vezes"


def test_of_a_long_conversation_its_first_and_newest_messages_are_judged() -> None:
    texts = [f"Quero o plano {number}" for number in range(40)]
    bounded = said(*texts)[:4] + said(*texts)[-12:]

    assert judge(said(*texts), OnReply.CONVERSATION) == judge(bounded, OnReply.CONVERSATION)
    assert judged(*texts) == [*map(str, range(4)), *map(str, range(28, 40))]


def test_the_newest_message_is_judged_however_long_the_others_are() -> None:
    long = "Quero o plano " * (MAX_CHARS // 10)

    assert judged(*[long] * 6, "Minha internet caiu") == ["0", "1", "2", "3", "6"]
