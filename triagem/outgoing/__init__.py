"""What leaves: one request or e-mail, and what became of it. Who is told what and when stands elsewhere."""

from triagem.outgoing.request import Again, Delivered, GiveUp, Request, Verdict

__all__ = ["Again", "Delivered", "GiveUp", "Request", "Verdict"]
