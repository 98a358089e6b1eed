"""Outgoing messages: sends one HTTP request or e-mail and returns the result. What to send is decided elsewhere."""

from triagem.outgoing.request import Delivered, Request, Retry, SendResult, Undeliverable

__all__ = ["Delivered", "Request", "Retry", "SendResult", "Undeliverable"]
