"""Helpers that look up a local stack's servers and processes."""

from triagem.stack import LocalStack
from triagem.stack.server import Server


def servers(stack: LocalStack) -> tuple[Server, Server]:
    return stack.valkey, stack.postgres


def pids_of(stack: LocalStack) -> list[int]:
    return [pid for server in servers(stack) if (pid := server.pid)]
