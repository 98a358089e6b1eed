"""Triagem classifies the messages that customers send to a CRM as support or sales, with a confidence.

This module is the public API. Every submodule imports it first, so it loads nothing itself: a name is imported from
its module when it is used for the first time (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triagem.contracts.errors import (
        AccessDenied,
        GatewayUnavailable,
        InboxFull,
        InboxUnavailable,
        InvalidInput,
        InvalidTicket,
        NotConfigured,
        NotRetryable,
        Retryable,
        TriagemError,
        UntrustedCertificate,
    )
    from triagem.contracts.result import Change, PredictResponse, Result, TicketDetail
    from triagem.contracts.ticket import Author, Lane, Message, OnReply, Ticket
    from triagem.producer.client import AsyncClient, Client
    from triagem.producer.client_protocol import Receipt, TicketFields
    from triagem.producer.publisher import Accepted, Publisher, Rejected

__all__ = [
    "Accepted",
    "AccessDenied",
    "AsyncClient",
    "Author",
    "Change",
    "Client",
    "GatewayUnavailable",
    "InboxFull",
    "InboxUnavailable",
    "InvalidInput",
    "InvalidTicket",
    "Lane",
    "Message",
    "NotConfigured",
    "NotRetryable",
    "OnReply",
    "PredictResponse",
    "Publisher",
    "Receipt",
    "Rejected",
    "Result",
    "Retryable",
    "Ticket",
    "TicketDetail",
    "TicketFields",
    "TriagemError",
    "UntrustedCertificate",
]

_MODULES = {
    "triagem.contracts.result": ("Change", "PredictResponse", "Result", "TicketDetail"),
    "triagem.contracts.ticket": ("Author", "Lane", "Message", "OnReply", "Ticket"),
    "triagem.producer.client": ("AsyncClient", "Client"),  # needs triagem[client]
    "triagem.producer.client_protocol": ("Receipt", "TicketFields"),
    "triagem.producer.publisher": ("Accepted", "Publisher", "Rejected"),
}


if not TYPE_CHECKING:  # or type checkers would allow every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = next((module for module, names in _MODULES.items() if name in names), "triagem.contracts.errors")
        value = getattr(import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
