"""Tickets in: from Python, from files. Needs Redis and nothing else."""

from producer.publisher import Accepted, Publisher, Rejected

__all__ = ["Accepted", "Publisher", "Rejected"]
