"""Rejects ids and texts that are a template's placeholder that the CRM did not fill in, such as `{{ticket.id}}`."""

import re
from typing import Final

from triagem.contracts.errors import InvalidTicket

# {{title}}, ${title}, {!Case.Subject}, {title}, [[title]], <%= title %>, %%title%%; but not JSON such as {"a": 1}.
_PLACEHOLDER: Final = re.compile(
    r"\{{2,3}[^{}\n]{1,99}\}{2,3}|[$#%]\{[^{}\n]{1,99}\}|\{[!%][^{}\n]{1,99}\}|\{[^\W\d][\w. -]{0,98}\}"
    r"|\[\[[^\[\]\n]{1,99}\]\]|<%[^%\n]{1,99}%>|%%[^%\n]{1,99}%%"
)
TAG: Final = re.compile(r"<[^<>]*>")


def is_placeholder(value: str) -> bool:
    """Whether a value is nothing but one placeholder."""
    return _PLACEHOLDER.fullmatch(value.strip()) is not None


def check_filled(external_id: str, text: str) -> None:
    """Raise InvalidTicket if the id, the subject (first line), the message or all of the text is a placeholder."""
    if is_placeholder(external_id):
        raise InvalidTicket("external_id", "is a placeholder that the CRM did not fill in, such as {{ticket.id}}")
    if any(map(_is_unfilled, (text, *text.split("\n", 1)))):
        raise InvalidTicket("text", "is a placeholder that the CRM did not fill in, such as {{ticket.title}}")


def _is_unfilled(text: str) -> bool:
    """Whether a text has placeholders and no other word."""
    rest, placeholders = _PLACEHOLDER.subn("", text)
    return placeholders > 0 and not any(char.isalnum() for char in TAG.sub("", rest))
