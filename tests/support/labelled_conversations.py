"""Reads conversations with the right label after each message, as in `examples/conversations.jsonl`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.ticket import Author, OnReply

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "conversations.jsonl"


@dataclass(frozen=True, slots=True)
class Turn:
    """A customer's message, with the conversation's right label after it; None before the first request."""

    text: str
    label: str | None
    small_talk: bool


def read_conversations(path: Path) -> list[list[Turn]]:
    """The customers' turns of the conversations in a file."""
    conversations = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        [
            Turn(message["text"], message["label"], message.get("small_talk", False))
            for message in conversation["messages"]
            if message["author"] == Author.CUSTOMER
        ]
        for conversation in conversations
    ]


def growing(turns: Sequence[Turn]) -> list[list[ConversationMessage]]:
    """The conversation after each of its messages."""
    messages = [ConversationMessage(turn.text, id=str(number)) for number, turn in enumerate(turns)]
    return [messages[:end] for end in range(1, len(messages) + 1)]


def parts(messages: Sequence[ConversationMessage]) -> list[str]:
    """The cleaned texts to classify for a conversation."""
    return judge(messages, OnReply.CONVERSATION).parts
