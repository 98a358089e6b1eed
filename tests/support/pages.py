"""Code blocks of documentation pages, and a shell that runs them one after another."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(
    r"^(?P<skip><!-- not (?:run|compared): [^\n]+ -->\n)?^```(?P<language>\w+)\n(?P<content>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_DONE: Final = "@@done"
# Values that differ between runs or between models.
_VOLATILE: Final = (
    (r"\d{13}-\d+", "ENTRY"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s,']*", "TIME"),
    (r"\b(?:suporte|venda)\b", "LABEL"),
    (r"\b(?:automate|review|abstain)\b", "BAND"),
    (r"\d+\.\d+", "NUMBER"),
    (r"(?<=\s)\d+(?=\s)", "NUMBER"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A shell or Python block, and the output that the page shows below it, if any."""

    language: str
    code: str
    output: str | None


def runnable_blocks(page: Path) -> list[Block]:
    """The blocks in ```bash and ```python. A comment `<!-- not run: reason -->` above a block leaves it out."""
    blocks: list[Block] = []
    previous_end, comparable = -1, False
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        language, content = match["language"], match["content"]
        follows = comparable and not text[previous_end : match.start()].strip()
        comparable = False
        if language in {"bash", "python"} and not match["skip"]:
            blocks.append(Block(language, content, None))
            comparable = True
        elif language in {"text", "json"} and follows and not match["skip"]:
            blocks[-1] = Block(blocks[-1].language, blocks[-1].code, content)
        previous_end = match.end()
    return blocks


def output_pattern(expected: str) -> re.Pattern[str]:
    """A pattern for an output of a page. `…` and values that differ between runs match anything."""
    escaped = re.escape(normalized(expected)).replace("…", ".*?")
    return re.compile(escaped, re.DOTALL)


def normalized(output: str) -> str:
    """The output without values that differ from run to run, and with single spaces."""
    for pattern, name in _VOLATILE:
        output = re.sub(pattern, name, output)
    return " ".join(output.split())


class PageShell:
    """One bash process, so that variables stay set from block to block."""

    def __init__(self, folder: Path, gateway: str, settings: Mapping[str, str]) -> None:
        self._gateway = gateway
        environment = {
            **os.environ,
            **settings,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
        }
        self._bash = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bash.kill()
        self._bash.communicate()

    def run(self, block: Block) -> str:
        """Run a block and return what it prints. A failing command ends the shell and its output."""
        code = block.code.replace("127.0.0.1:8000", self._gateway).replace("localhost:8000", self._gateway)
        if block.language == "python":
            code = f"python - <<'END_OF_PYTHON'\n{code}END_OF_PYTHON\n"
        assert self._bash.stdin
        self._bash.stdin.write(f"{code}\necho {_DONE}\n")
        self._bash.stdin.flush()
        return "".join(self._output())

    def _output(self) -> Iterator[str]:
        assert self._bash.stdout
        for line in self._bash.stdout:
            before, done, _ = line.partition(_DONE)
            yield before
            if done:
                return
        raise AssertionError(f"the shell ended with status {self._bash.wait()}")
