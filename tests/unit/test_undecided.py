"""The share of customers' messages that a version leaves without a decision is reported with its upper bound."""

from tests.support.builders import manifest
from tests.support.engines import NoopModel
from triagem.contracts.prediction import Thresholds
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.calibration import undecided_note

MODEL = NoopModel(manifest(thresholds=Thresholds(languages=("en", "pt"), other_language=0.95)))


def test_texts_without_a_decision_are_counted_by_reason() -> None:
    texts = ["minha internet caiu", "my wifi is down", "no puedo entrar a mi cuenta", "4711", "bom dia", "bom dia"]

    note = undecided_note(MODEL, [Row(text, "suporte") for text in texts])

    assert note.startswith("3 of 5 test texts get no decision (other-language 1, no-words 1, greeting 1): ")
    assert note.endswith("at most 92.4% of such messages")


def test_no_such_text_still_has_an_upper_bound() -> None:
    plans = ["casa", "escritório", "celular", "fibra", "viagem", "família", "empresa", "jovem", "anual", "mensal"]

    note = undecided_note(MODEL, [Row(f"quanto custa o plano {plan}", "venda") for plan in plans])

    assert note == "0 of 10 test texts get no decision: with 95% confidence, at most 25.9% of such messages"
