"""Reads what a CRM says about a ticket in its metadata: channel and language."""

import re
from collections.abc import Mapping
from typing import Final

_MAX_CHANNEL_CHARS: Final = 64
_LANGUAGE_KEYS: Final = ("language", "lang", "locale")
_LANGUAGE_TAG: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_].*)?")


def channel_of(metadata: Mapping[str, object]) -> str | None:
    """The channel by which the customer wrote, in the CRM's words: `email`, `whatsapp`."""
    channel = metadata.get("channel")
    return channel.strip()[:_MAX_CHANNEL_CHARS] or None if isinstance(channel, str) else None


def language_of(metadata: Mapping[str, object]) -> str | None:
    """The declared language as an ISO 639 code."""
    return next((language_code(metadata[name]) for name in _LANGUAGE_KEYS if name in metadata), None)


def language_code(declared: object) -> str | None:
    """The ISO 639 code of a language tag (`pt-BR` is `pt`); None if it is not one."""
    tag = _LANGUAGE_TAG.fullmatch(declared.strip()) if isinstance(declared, str) else None
    return tag[1].lower() if tag else None
