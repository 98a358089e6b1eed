"""Direct access to a registry's files, in a local folder or in an in-memory store."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fsspec.core import url_to_fs
from fsspec.implementations.memory import MemoryFileSystem


@dataclass(frozen=True)
class Files:
    """The files of the registry at a URL, by their names under it."""

    url: str

    def read(self, name: str) -> bytes:
        fs, root = url_to_fs(self.url)
        return bytes(fs.cat_file(f"{root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        fs, root = url_to_fs(self.url)
        fs.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{root}/{name}", content)

    def remove(self, name: str) -> None:
        fs, root = url_to_fs(self.url)
        fs.rm(f"{root}/{name}", recursive=True)


class Interrupted(BaseException):
    """A power loss: nothing runs after it, not even error handlers."""


_CHANGES = [(os, "fsync"), (os, "rename"), (os, "replace")]
_REMOTE_CHANGES = [(MemoryFileSystem, "makedirs"), (MemoryFileSystem, "put_file"), (MemoryFileSystem, "pipe_file")]


@contextmanager
def interrupted(files: Files, *, after: int) -> Iterator[list[str]]:
    """Inside, the first `after` steps that change the registry's files succeed, and the next raises Interrupted.

    Yields the completed steps.
    """
    done: list[str] = []

    def counted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            if len(done) == after:
                raise Interrupted
            done.append(name)
            return step(*arguments, **options)

        return counting

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in _REMOTE_CHANGES if "://" in files.url else _CHANGES:
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
        yield done
