"""The local stack: a real Valkey and a real Postgres, both installed by pip, for a machine that has neither.

It only starts the servers: it runs no migrations, workers or gateway.
"""

from triagem.cli.stack.files import StackFailed
from triagem.cli.stack.local import LocalStack, running
from triagem.cli.stack.postgres import PostgresServer, ensure_reader_login, ensure_writer_login
from triagem.cli.stack.state import Endpoints
from triagem.cli.stack.valkey import ValkeyServer

__all__ = [
    "Endpoints",
    "LocalStack",
    "PostgresServer",
    "StackFailed",
    "ValkeyServer",
    "ensure_reader_login",
    "ensure_writer_login",
    "running",
]
