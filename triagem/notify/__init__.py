"""Everything outbound: results for CRMs, alert rules and messages, and how requests and e-mails are sent."""

from triagem.notify.request import Delivered, Request, Retry, SendResult, Undeliverable

__all__ = ["Delivered", "Request", "Retry", "SendResult", "Undeliverable"]
