"""Looks up the processes of a local stack."""

from triagem.stack import LocalStack


def pids_of(stack: LocalStack) -> list[int]:
    return [pid for server in stack.servers if (pid := server.pid)]
