"""`triagem up` in a folder of its own, as a person starts it on a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from tests.support.small_bert import tiny_unigram_base
from tests.support.waiting import until
from triagem.stack import LocalStack
from triagem.stack.state import choose_port

_ROOT: Final = Path(__file__).parent.parent.parent


class Up:
    """A running installation without a model, with a tiny base. `settings` are added to its environment."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        base = tiny_unigram_base(folder / "tiny")
        self.environment = {
            **os.environ, "PYTHONPATH": str(_ROOT), "TRIAGEM_REGISTRY_URL": str(folder / "models"),
            "TRIAGEM_GATEWAY_PORT": str(choose_port()), "TRIAGEM_TRAINER_BASE": base,
            "TRIAGEM_TRAINER_POLL_EVERY_S": "0.5", "TRIAGEM_TRAINER_LEASE_S": "3", "TRIAGEM_LEASE_S": "2",
            **settings,
        }  # fmt: skip
        terminal, other_end = pty.openpty()
        self.output = ""
        self.process = subprocess.Popen(
            self._command("up"), cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=other_end,
            stderr=other_end,
        )  # fmt: skip
        os.close(other_end)
        threading.Thread(target=self._read, args=(terminal,), daemon=True).start()

    @property
    def address(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.environment['TRIAGEM_GATEWAY_PORT']}"

    def link(self) -> str:
        """The link that logs in."""
        pattern = re.compile(r"http://\S+/console/enter\?link=\S+")
        until(lambda: pattern.search(self.output) is not None or self.process.poll() is not None, seconds=90)
        match = pattern.search(self.output)
        assert match, self.output
        return match[0]

    def serves(self) -> bool:
        """Whether the gateway answers."""
        try:
            with urlopen(f"{self.address}/health/live") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def run(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(
            subprocess.run(
                self._command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, check=True
            ).stdout
        )

    def kill(self, command: str) -> bool:
        """Kill a process that `triagem up` started, which then starts another one. False if it was not running."""
        killed = False
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == self.process.pid and command.encode() in words and state != "Z":
                os.kill(int(folder.name), signal.SIGKILL)
                killed = True
        return killed

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        finally:
            self.process.kill()

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "triagem.cli.main", *arguments]

    def _read(self, terminal: int) -> None:
        while True:
            try:
                self.output += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the process has closed the terminal
                return


@contextmanager
def started(folder: Path, **settings: str) -> Iterator[Up]:
    """A running installation; all its files are removed at the end."""
    installation = Up(folder, **settings)
    try:
        yield installation
    finally:
        installation.stop()
        LocalStack(folder / ".triagem").erase()
