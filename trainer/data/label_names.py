"""Compares the spellings of labels: finds spellings of the same label, and suggests corrections. Pure."""

from collections.abc import Sequence
from difflib import get_close_matches
from unicodedata import category

from triagem.contracts.errors import InvalidInput
from triagem.contracts.unicode_form import normalized


def declared_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that `--labels` gives. Raises InvalidInput."""
    known = tuple(composed(label) for label in labels)
    folded = {folded_label(label) for label in known}
    if len(known) < 2 or len(folded) < len(known) or "" in folded:
        raise InvalidInput(
            f"labels {','.join(labels)!r}: expected at least two different labels, for example suporte,venda"
        )
    return known


def edit_distance(left: str, right: str) -> int:
    """The fewest insertions, deletions and replacements of letters that turn one into the other (Levenshtein)."""
    previous = list(range(len(right) + 1))
    for number, letter in enumerate(left, start=1):
        line = [number]
        for index, other in enumerate(right):
            line.append(min(previous[index] + (letter != other), previous[index + 1] + 1, line[index] + 1))
        previous = line
    return previous[-1]


def suggest_label(label: str, known: Sequence[str]) -> str:
    """The most similar known label as a question, if there is one."""
    folded = {folded_label(candidate): candidate for candidate in known}
    near = get_close_matches(folded_label(label), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def composed(text: str) -> str:
    """A label's normal form for comparisons."""
    return normalized("NFC", text).strip()  # otherwise the same letter in two Unicode forms would make two labels


def folded_label(label: str) -> str:
    """A label without case, accents, invisible characters and repeated spaces."""
    plain = (char for char in normalized("NFKD", label.casefold()) if category(char) not in {"Mn", "Cf"})
    return " ".join("".join(plain).split())
