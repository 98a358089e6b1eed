"""The keys and the words of a reviewing session."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.cli.asking.langs import Lang, spoken
from triagem.cli.asking.names import check, label_name, reviewer_name
from triagem.cli.asking.words import words
from triagem.cli.output import visible
from triagem.contracts.errors import InvalidInput
from triagem.db.reviews import Missed
from triagem.gateway.console.keys import Act, Keys

LABELS = st.lists(
    st.text(min_size=1, max_size=9).filter(str.strip).map(str.strip),
    min_size=1,
    max_size=15,
    unique=True,  # each may take two of 30 keys
)


class TestKeys:
    def test_labels_have_numbers_and_their_first_letters(self) -> None:
        keys = Keys(["suporte", "venda"])

        assert [keys.meaning(key) for key in "1s2vV"] == ["suporte", "suporte", "venda", "venda", "venda"]
        assert keys.labels == {"suporte": "1/s", "venda": "2/v"}

    def test_an_act_whose_letter_a_label_has_keeps_its_other_key(self) -> None:
        keys = Keys(["suporte", "venda"])

        assert [keys.meaning(key) for key in "ubmq"] == [Act.UNCLEAR, Act.BACK, Act.MORE, Act.QUIT]
        assert keys.meaning(" ") is Act.SKIP
        assert keys.acts[Act.SKIP] == " "
        assert Keys(["venda"]).acts[Act.SKIP] == "s"

    def test_a_first_letter_that_two_labels_share_is_nobody_s(self) -> None:
        keys = Keys(["venda", "voucher"])

        assert keys.meaning("v") is None
        assert keys.labels == {"venda": "1", "voucher": "2"}

    @given(LABELS)
    def test_whatever_is_shown_means_what_it_is_shown_for(self, labels: list[str]) -> None:
        keys = Keys(labels)

        assert list(keys.labels) == labels
        for label, shown in keys.labels.items():
            assert {keys.meaning(key) for key in shown.split("/")} == {label}
        for act, shown in keys.acts.items():
            assert keys.meaning(shown) is act

    @pytest.mark.parametrize("pressed", ["x", "", "\x1b[A", "12", "\x00", "É"])
    def test_other_keys_mean_nothing(self, pressed: str) -> None:
        assert Keys(["suporte", "venda"]).meaning(pressed) is None

    def test_more_labels_than_keys_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="no room on a keyboard"):
            Keys([str(number) for number in range(99)])


class TestWords:
    def test_every_language_says_everything(self) -> None:
        for lang in Lang:
            said = words(lang)
            assert set(said.acts) == set(Act)
            assert set(said.missed) == set(Missed)
            assert all(getattr(said, field.name) for field in fields(said))

    def test_the_languages_differ(self) -> None:
        english, portuguese = words(Lang.EN), words(Lang.PT)

        assert all(getattr(english, field.name) != getattr(portuguese, field.name) for field in fields(english))

    @pytest.mark.parametrize(
        ("environment", "lang"),
        [
            ({"LANG": "pt_BR.UTF-8"}, Lang.PT),
            ({"LANG": "pt_BR.UTF-8", "LC_ALL": "en_US.UTF-8"}, Lang.EN),
            ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_PT"}, Lang.PT),
            ({"LC_ALL": "", "LANG": "pt"}, Lang.PT),
            ({"LANG": "de_DE"}, Lang.EN),
            ({}, Lang.EN),
        ],
    )
    def test_the_terminal_s_language_is_that_of_its_locale(self, environment: dict[str, str], lang: Lang) -> None:
        assert spoken(environment) is lang


class TestNames:
    def test_a_typo_is_no_new_label(self) -> None:
        check("venda", ["suporte", "venda"])
        with pytest.raises(InvalidInput, match=r"no label 'vendas', did you mean 'venda'.*--new-label"):
            check("vendas", ["suporte", "venda"])
        with pytest.raises(InvalidInput, match=r"known are suporte, venda.*--new-label"):
            check("cobranca", ["suporte", "venda"])

    @pytest.mark.parametrize("given_name", ["", "  ", "a\x1b[2J", "x" * 65, "a\nb"])
    def test_a_name_is_short_and_can_be_printed(self, given_name: str) -> None:
        for read in (reviewer_name, label_name):
            with pytest.raises(InvalidInput):
                read(given_name)

    def test_unclear_is_no_label(self) -> None:
        with pytest.raises(InvalidInput):
            label_name("unclear")

    def test_a_reviewer_is_the_login_unless_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "ana")

        assert (reviewer_name(None), reviewer_name(" rui ")) == ("ana", "rui")


class TestVisible:
    @given(st.text())
    def test_no_text_can_steer_the_terminal(self, text: str) -> None:
        assert all(one.isprintable() or one in "\n\t" for one in visible(text))

    def test_what_mails_are_full_of_stays_legible(self) -> None:
        assert visible("Olá,\r\nnão\u00a0abre\t:(") == "Olá,\nnão abre\t:("
        assert visible("\x1b]0;owned\x07\u202e") == r"\x1b]0;owned\x07\u202e"
