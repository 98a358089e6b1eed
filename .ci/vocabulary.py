"""Checks of `make lint` on names and wording: private words, riddles as docstrings, variables that name nothing.

docs/reference/glossary.md lists the terms to use instead. `EXCEPTIONS` names each place where a listed word is
right, and why.

    python .ci/vocabulary.py [PATH...]    # all tracked files, or only those under the given paths
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# A variable says what it holds: `ticket`, `row`, `previous`.
EMPTY_NAMES = frozenset(
    ["asked", "former", "found", "heard", "mended", "one", "said", "some", "told", "what", "whom"]
)

# Words of an identifier (parts between underscores or capitals) that stand for a field's term.
PRIVATE_NAMES = {
    "room": "package, services or capacity",
    "rooms": "packages",
    "keeper": "model manager",
    "guest": "shadow model",
    "taker": "fetcher",
    "puller": "bootstep",
    "handover": "slot",
    "preparer": "prepare stage",
    "sift": "isolate failures",
    "outwait": "retry until available",
    "patiently": "retry until available",
    "patience": "hysteresis or retry",
    "bury": "dead-letter",
    "condemned": "dead letter",
    "lethal": "crashing",
    "acquit": "clear",
    "rescue": "recover or reclaim",
    "retake": "reclaim",
    "settle": "ack, mark or calibrate",
    "settled": "acked, delivered or calibrated",
    "crew": "workers or worker pool",
    "draws": "samples",
    "lots": "sampling",
    "rejudge": "reband",
    "lesson": "training run",
    "soup": "weight averaging",
    "sureness": "confidence",
    "beginning": "base model",
    "seed_document": "specification",
    "nudge": "wake or request",
    "tell": "notify, deliver or log",
    "told": "notified, logged, or on_progress",
    "unwell": "unhealthy",
    "mend": "fix",
    "mended": "fixed",
}

# Phrases, in any tracked text.
PHRASES = {
    r"seed(?:'s|s')? document|the seed's|seed document": "the original specification",
    r"\bPIPE \d+|PIPE\.md": "INV-<number>",
    r"(?<!there )\b(?:is|are|was) no (?!longer|more|less|fewer|better|worse|need|such|difference|reason|limit|doubt"
    r"|guarantee|order|default)[a-z]+": "is not a …",
    r"\bhand(?:s|ed|ing)? in\b": "submit, pass or enqueue",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bso many\b|\bso often\b": "a number, or how many",
    r"\bthe matter\b": "wrong, or a diagnosis",
    r"\bbeside (?:it|them|us|the|a|our|this|that)\b": "next to, with, in addition to",
    r"\btake[sn]? back\b|\btaken back\b": "undo",
    r"\bformer\b": "previous",
    r"\bfront door\b": "HTTP API or gateway",
    r"\bof no cost\b": "no-op",
    r"\bby lot\b|\bby lots\b": "at random",
}
RIDDLE = re.compile(r"(?:What|Which|Who|Whom|Whose|When|Where|Why|How)\b")
TEXT = frozenset({".py", ".md", ".toml", ".yml", ".yaml", ".html", ".sql", ".lua", ".sh", ".conf"})

# file → word or phrase → why it is right there. A folder ends with a slash.
EXCEPTIONS: dict[str, dict[str, str]] = {
    ".ci/vocabulary.py": {"*": "the list itself"},
    "docs/reference/glossary.md": {"*": "names the words it replaces"},
    "docs/decisions/": {"former": "quoted names of their time"},
}


def allowed(file: Path, word: str) -> bool:
    """Whether an exception covers this word in this file."""
    name = str(file)
    return any(
        (name == place or (place.endswith("/") and name.startswith(place))) and ("*" in words or word in words)
        for place, words in EXCEPTIONS.items()
    )


def parts(identifier: str) -> set[str]:
    """The words of an identifier: `outwaitOnce`, `out_wait` and `OutWait` by underscores and capitals."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def names(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Every identifier that a module defines, with its line; whether it is a local variable or a loop's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name, False
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg, True
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id, True


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """First lines of the module's docstring and of all others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.partition("\n")[0]


def in_python(file: Path, source: str) -> Iterator[str]:
    """Names and docstrings of a module."""
    tree = ast.parse(source)
    for line, name, variable in names(tree):
        if variable and name in EMPTY_NAMES and not allowed(file, name):
            yield f"{file}:{line}: variable `{name}`: name what it holds"
        for part in sorted(parts(name) & PRIVATE_NAMES.keys()):
            if not allowed(file, part):
                yield f"{file}:{line}: `{name}`: {PRIVATE_NAMES[part]} instead of {part!r}"
    if file.parts[0] == "tests":
        return
    for line, first in docstrings(tree):
        if RIDDLE.match(first) and not allowed(file, "riddle"):
            yield f"{file}:{line}: docstring begins with a question word: say what it does. {first!r}"
    for part in sorted(parts(file.stem) & PRIVATE_NAMES.keys()):
        if not allowed(file, part):
            yield f"{file}:1: the file's name: {PRIVATE_NAMES[part]} instead of {part!r}"


def findings(paths: list[str]) -> Iterator[str]:
    """Everything wrong in tracked files, or in those under `paths`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for file in map(Path, filter(None, listed.split("\0"))):
        if file.suffix not in TEXT or file.is_symlink() or not file.is_file():
            continue
        source = file.read_text(encoding="utf-8")
        for number, line in enumerate(source.splitlines(), 1):
            for phrase, instead in PHRASES.items():
                match = re.search(phrase, line, re.IGNORECASE)
                if match and not allowed(file, match[0].lower()):
                    yield f"{file}:{number}: {match[0]!r}: write {instead}"
        if file.suffix == ".py":
            yield from in_python(file, source)


if __name__ == "__main__":
    wrong = list(findings(sys.argv[1:]))
    print("\n".join(wrong) or "vocabulary: nothing found")
    sys.exit(bool(wrong))
