"""Keyboard shortcuts and messages of the review page, and names of reviewers and labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.cli.commands.review_results import require_known_label, reviewer_name
from triagem.cli.output import printable
from triagem.contracts.errors import InvalidInput
from triagem.db.labels import label_name
from triagem.db.reviews import ReviewRejected
from triagem.gateway.console.messages import MESSAGES
from triagem.gateway.console.review import ReviewAction, shortcut_context

LABELS = st.lists(
    st.text(min_size=1, max_size=9).filter(str.strip).map(str.strip),
    min_size=1,
    max_size=15,
    unique=True,  # each may take two of 30 keys
)


class TestKeys:
    def test_labels_have_numbers_and_their_first_letters(self) -> None:
        assert shortcut_context(["suporte", "venda"])["keys"] == {"suporte": ["1", "s"], "venda": ["2", "v"]}

    def test_an_action_whose_letter_a_label_uses_has_another_key(self) -> None:
        assert shortcut_context(["suporte", "venda"])["actions"] == {"unclear": "u", "skip": " ", "undo": "b"}
        assert shortcut_context(["urgente", "bug"])["actions"] == {"unclear": "0", "skip": "s", "undo": "\x7f"}

    def test_a_label_keeps_its_letter_when_a_new_label_starts_with_it(self) -> None:
        assert shortcut_context(["venda", "voucher"])["keys"] == {"venda": ["1", "v"], "voucher": ["2"]}

    @given(LABELS)
    def test_every_key_is_shown_once_and_a_question_mark_asks_for_help(self, labels: list[str]) -> None:
        shortcuts = shortcut_context(labels)

        assert list(shortcuts["keys"]) == labels
        shown = [key for keys in shortcuts["keys"].values() for key in keys] + [*shortcuts["actions"].values()]
        assert len(shown) == len({*shown, "?"} - {"?"})

    def test_more_labels_than_keys_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="too many for keyboard shortcuts"):
            shortcut_context([str(number) for number in range(99)])


class TestMessages:
    def test_every_action_and_refusal_has_a_message(self) -> None:
        keys = [*ReviewAction, *(f"rejected_{reason.name.lower()}" for reason in ReviewRejected)]
        assert set(keys) <= set(MESSAGES)


class TestNames:
    def test_a_typo_does_not_create_a_label(self) -> None:
        require_known_label("venda", ["suporte", "venda"], "next")
        with pytest.raises(InvalidInput, match=r"unknown label 'vendas': did you mean 'venda' or 'revenda'\? next"):
            require_known_label("vendas", ["suporte", "revenda", "venda"], "next")
        with pytest.raises(InvalidInput, match=r"known labels: suporte, venda\. next"):
            require_known_label("cobranca", ["suporte", "venda"], "next")
        with pytest.raises(InvalidInput, match=r"known labels: none\. "):
            require_known_label("venda", [], "next")

    @pytest.mark.parametrize("given_name", ["", "  ", "a\x1b[2J", "x" * 65])
    def test_an_empty_long_or_unprintable_name_is_refused(self, given_name: str) -> None:
        for parse in (reviewer_name, label_name):
            with pytest.raises(InvalidInput):
                parse(given_name)

    def test_a_name_has_one_line(self) -> None:
        assert label_name(" a\n b ") == "a b"
        with pytest.raises(InvalidInput):
            reviewer_name("a\nb")

    @pytest.mark.parametrize("answer", ["unclear", "Can't tell", "can\u2019t tell", "Não dá para saber"])
    def test_unclear_is_not_a_label(self, answer: str) -> None:
        with pytest.raises(InvalidInput):
            label_name(answer)

    def test_the_reviewer_is_the_login_name_unless_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "ana")

        assert (reviewer_name(None), reviewer_name(" rui ")) == ("ana", "rui")


class TestPrintable:
    @given(st.text())
    def test_no_text_can_control_the_terminal(self, text: str) -> None:
        assert all(character.isprintable() or character in "\n\t" for character in printable(text))

    def test_common_characters_of_emails_stay_readable(self) -> None:
        assert printable("Olá,\r\nnão\u00a0abre\t:(") == "Olá,\nnão abre\t:("
        assert printable("\x1b]0;owned\x07\u202e") == r"\x1b]0;owned\x07\u202e"
