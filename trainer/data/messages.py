"""Reads the column `messages` of labelled rows, and composes a conversation's text as a worker does. Pure."""

import json
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import OnReply, first_error

_MESSAGES: Final = TypeAdapter(list[ConversationMessage])
_EXPECTED: Final = '[{"author": "customer", "text": "…"}, …]'


def read_messages(value: object) -> list[ConversationMessage]:
    """The messages of a cell: a list of `{"author": …, "text": …}`, or its JSON, as in CSV; none if it is empty.

    Raises:
        InvalidInput: names the message and its problem.
    """
    if not value:
        return []
    try:
        messages = _MESSAGES.validate_python(json.loads(value) if isinstance(value, str) else value)
        "".join(message.text for message in messages).encode()
        return messages
    except ValidationError as error:
        problem = ": ".join(filter(None, first_error(error)))
    except UnicodeEncodeError:
        problem = "a text contains a lone surrogate (half a character)"
    except (ValueError, RecursionError):
        problem = "not JSON"
    raise InvalidInput(f"'messages': {problem}; expected {_EXPECTED}")


def compose(messages: Sequence[ConversationMessage]) -> str:
    """The text that a label of the whole conversation is about.

    Raises:
        InvalidInput: the customer wrote nothing.
    """
    if text := judge(messages, OnReply.CONVERSATION).text:
        return text
    raise InvalidInput("'messages' has no text of the customer")
