"""The local stack: a real Valkey and a real Postgres, both installed by pip, for a machine that has neither.

It only starts the servers: it runs no migrations, workers or gateway.
"""

from triagem.stack.local import LocalStack
from triagem.stack.postgres import PostgresServer, ensure_reader_login, ensure_writer_login
from triagem.stack.server import ValkeyServer
from triagem.stack.state import Endpoints, StackFailed

__all__ = [
    "Endpoints",
    "LocalStack",
    "PostgresServer",
    "StackFailed",
    "ValkeyServer",
    "ensure_reader_login",
    "ensure_writer_login",
]
