"""The shipped sample data: hand-written, balanced, and no test row is nearly a training row."""

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from tests.support.labelled_conversations import EXAMPLES as CONVERSATIONS
from tests.support.labelled_conversations import read_conversations

EXAMPLES = Path(__file__).parents[2] / "examples"
NEAR_DUPLICATE = 0.8


def tickets(name: str) -> list[dict[str, str]]:
    """The rows of `train.jsonl` or `test.jsonl`."""
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def all_tickets() -> list[dict[str, str]]:
    return tickets("train.jsonl") + tickets("test.jsonl")


def similarity(first: list[str], second: list[str]) -> float:
    """The highest cosine of character 3- to 5-gram counts between a text of the first list and one of the second."""
    counts = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit(first + second)
    product = normalize(counts.transform(first).astype(float)) @ normalize(counts.transform(second).astype(float)).T
    return float(product.max())


def test_there_are_six_hundred_distinct_tickets() -> None:
    texts = [" ".join(row["prompt"].lower().split()) for row in all_tickets()]

    assert len(set(texts)) == len(texts) >= 600


def test_every_ticket_has_text_label_and_language_and_nothing_else() -> None:
    assert {tuple(row) for row in all_tickets()} == {("prompt", "completion", "lang")}


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_languages_and_labels_are_balanced(name: str) -> None:
    rows = tickets(name)

    assert {row["lang"] for row in rows} == {"en", "pt"}
    assert {row["completion"] for row in rows} == {"suporte", "venda"}
    for lang, count in Counter(row["lang"] for row in rows).items():
        assert count >= 0.44 * len(rows)
        assert Counter(row["completion"] for row in rows if row["lang"] == lang)["venda"] == pytest.approx(count / 2)


def test_each_language_has_at_least_45_percent_of_the_tickets() -> None:
    count = Counter(row["lang"] for row in all_tickets())

    assert min(count.values()) >= 0.45 * count.total()


def test_a_ticket_has_3_to_200_words() -> None:
    lengths = [len(row["prompt"].split()) for row in all_tickets()]

    assert min(lengths) >= 3
    assert max(lengths) <= 200


def test_a_quarter_of_the_tickets_is_for_testing() -> None:
    assert len(tickets("test.jsonl")) / len(all_tickets()) == pytest.approx(0.25, abs=0.01)


def test_no_test_ticket_is_nearly_one_of_the_training_tickets() -> None:
    train, test = ([row["prompt"] for row in tickets(name)] for name in ("train.jsonl", "test.jsonl"))

    assert similarity(train, test) < NEAR_DUPLICATE


def test_a_ticket_with_one_word_changed_would_be_found() -> None:
    train = [row["prompt"] for row in tickets("train.jsonl")]
    words = max(train, key=len).split()

    assert similarity(train, [" ".join([*words[:-1], "changed"])]) >= NEAR_DUPLICATE


def test_the_crm_export_has_200_rows_with_distinct_ids() -> None:
    with (EXAMPLES / "crm_export.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 200
    assert len({row["id"] for row in rows}) == 200
    assert all(row["body"].strip() and row["created_at"] for row in rows)


def test_the_crm_export_holds_no_training_ticket() -> None:
    with (EXAMPLES / "crm_export.csv").open(encoding="utf-8", newline="") as file:
        bodies = [row["body"] for row in csv.DictReader(file)]

    assert similarity([row["prompt"] for row in all_tickets()], bodies) < NEAR_DUPLICATE


class TestConversations:
    def test_there_are_sixty_of_two_to_eight_customer_messages(self) -> None:
        conversations = read_conversations(CONVERSATIONS)

        assert len(conversations) == 60
        assert all(2 <= len(turns) <= 8 for turns in conversations)

    def test_small_talk_has_the_label_of_the_message_before(self) -> None:
        pairs = [pair for turns in read_conversations(CONVERSATIONS) for pair in pairwise(turns)]

        assert all(turn.label == before.label for before, turn in pairs if turn.small_talk)
        assert sum(turn.label not in (before.label, None) for before, turn in pairs if before.label) >= 10

    def test_no_request_in_them_is_nearly_a_training_ticket(self) -> None:
        turns = [turn for turns in read_conversations(CONVERSATIONS) for turn in turns]
        requests = [turn.text for turn in turns if not turn.small_talk and len(turn.text.split()) > 5]

        assert similarity([row["prompt"] for row in all_tickets()], requests) < NEAR_DUPLICATE
