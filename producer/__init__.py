"""Tickets in: publishes tickets, loads files, receives CRM webhooks, and provides clients of the HTTP API."""

if __name__ != "triagem.producer":  # a second copy of every module would be loaded
    raise ImportError("import triagem.producer, not producer: the folder at the root is linked into the package")

from triagem.producer.publisher import Accepted, Publisher, Rejected

__all__ = ["Accepted", "Publisher", "Rejected"]
