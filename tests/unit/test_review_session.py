"""Keyboard shortcuts, messages and names of a review session."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.cli.output import printable
from triagem.cli.review_session import (
    require_known_label,
    reviewer_name,
    terminal_language,
)
from triagem.contracts.errors import InvalidInput
from triagem.db.labels import label_name
from triagem.db.reviews import ReviewRejected
from triagem.gateway.console.messages import MESSAGES, Lang
from triagem.gateway.console.shortcuts import KeyboardShortcuts, ReviewAction

LABELS = st.lists(
    st.text(min_size=1, max_size=9).filter(str.strip).map(str.strip),
    min_size=1,
    max_size=15,
    unique=True,  # each may take two of 30 keys
)


class TestKeys:
    def test_labels_have_numbers_and_their_first_letters(self) -> None:
        keys = KeyboardShortcuts(["suporte", "venda"])

        assert [keys.action_for(key) for key in "1s2vV"] == ["suporte", "suporte", "venda", "venda", "venda"]
        assert keys.labels == {"suporte": "1/s", "venda": "2/v"}

    def test_an_action_whose_letter_a_label_uses_keeps_its_other_key(self) -> None:
        keys = KeyboardShortcuts(["suporte", "venda"])

        assert [keys.action_for(key) for key in "ubmq"] == [
            ReviewAction.UNCLEAR,
            ReviewAction.UNDO,
            ReviewAction.MORE,
            ReviewAction.QUIT,
        ]
        assert keys.action_for(" ") is ReviewAction.SKIP
        assert keys.actions[ReviewAction.SKIP] == " "
        assert KeyboardShortcuts(["venda"]).actions[ReviewAction.SKIP] == "s"

    def test_a_label_keeps_its_letter_when_a_new_label_starts_with_it(self) -> None:
        keys = KeyboardShortcuts(["venda", "voucher"])

        assert keys.action_for("v") == "venda"
        assert keys.labels == {"venda": "1/v", "voucher": "2"}

    def test_a_question_mark_asks_for_help_and_answers_nothing(self) -> None:
        keys = KeyboardShortcuts(["suporte", "urgente"])

        assert keys.action_for("?") is ReviewAction.HELP
        assert keys.actions[ReviewAction.UNCLEAR] == "0"

    @given(LABELS)
    def test_every_key_does_what_it_is_shown_for(self, labels: list[str]) -> None:
        keys = KeyboardShortcuts(labels)

        assert list(keys.labels) == labels
        for label, shown in keys.labels.items():
            assert {keys.action_for(key) for key in shown.split("/")} == {label}
        for action, shown in keys.actions.items():
            assert keys.action_for(shown) is action

    @pytest.mark.parametrize("pressed", ["x", "", "\x1b[A", "12", "\x00", "É"])
    def test_other_keys_do_nothing(self, pressed: str) -> None:
        assert KeyboardShortcuts(["suporte", "venda"]).action_for(pressed) is None

    def test_more_labels_than_keys_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="too many for keyboard shortcuts"):
            KeyboardShortcuts([str(number) for number in range(99)])


class TestMessages:
    def test_every_action_and_refusal_has_a_message(self) -> None:
        keys = [*ReviewAction, *(f"rejected_{reason.name.lower()}" for reason in ReviewRejected)]
        assert set(keys) <= set(MESSAGES)

    @pytest.mark.parametrize(
        ("environment", "language"),
        [
            ({"LANG": "pt_BR.UTF-8"}, Lang.PT),
            ({"LANG": "pt_BR.UTF-8", "LC_ALL": "en_US.UTF-8"}, Lang.EN),
            ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_PT"}, Lang.PT),
            ({"LC_ALL": "", "LANG": "pt"}, Lang.PT),
            ({"LANG": "de_DE"}, Lang.EN),
            ({}, Lang.EN),
        ],
    )
    def test_the_terminals_language_is_that_of_its_locale(self, environment: dict[str, str], language: Lang) -> None:
        assert terminal_language(environment) is language


class TestNames:
    def test_a_typo_does_not_create_a_label(self) -> None:
        require_known_label("venda", ["suporte", "venda"])
        with pytest.raises(InvalidInput, match=r"unknown label 'vendas': did you mean 'venda'.*--new-label"):
            require_known_label("vendas", ["suporte", "venda"])
        with pytest.raises(InvalidInput, match=r"known labels: suporte, venda.*--new-label"):
            require_known_label("cobranca", ["suporte", "venda"])

    @pytest.mark.parametrize("given_name", ["", "  ", "a\x1b[2J", "x" * 65])
    def test_an_empty_long_or_unprintable_name_is_refused(self, given_name: str) -> None:
        for parse in (reviewer_name, label_name):
            with pytest.raises(InvalidInput):
                parse(given_name)

    def test_a_name_has_one_line(self) -> None:
        assert label_name(" a\n b ") == "a b"
        with pytest.raises(InvalidInput):
            reviewer_name("a\nb")

    def test_unclear_is_not_a_label(self) -> None:
        with pytest.raises(InvalidInput):
            label_name("unclear")

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
