"""The reasons and notes of the promotion gate in Brazilian Portuguese, by their English templates."""

from string import Formatter
from typing import Any, Final

from triagem.contracts.phrase import Phrase
from triagem.notify.alert_messages import local_number
from triagem.registry import gate_texts

_ROWS: Final = "acurácia de {accuracy:.3f} contra {current:.3f} em {rows:,} linhas: "
_CHANCE: Final = (
    "o ganho de {gained} linhas e a perda de {lost} podem ser acaso (p de McNemar {p_value:.3f}, exigido: menos de "
    "{alpha}): {rows:,} linhas de teste são poucas; para demonstrar {required:+.3f} são necessárias cerca de "
    "{needed:,}"
)
_MEMORIZED: Final = (
    " treinou com todas as {rows} linhas de teste, e as métricas só mediriam memorização: teste com linhas que "
    "nenhuma versão usou no treino"
)
PORTUGUESE: Final[dict[str, str]] = {
    gate_texts.MISSING_LABEL: (
        "{other} conhece a categoria {label!r} e {version} não: treine com linhas dessa categoria"
    ),
    gate_texts.LEAKED: (
        "{leaked:,} linhas de teste de {version} são iguais ou quase iguais a linhas de treino (--allow-leakage): as "
        "métricas medem memorização; treine com linhas de teste que não se repitam no treino"
    ),
    gate_texts.ALL_ROWS_SEEN: "{version}" + _MEMORIZED,
    gate_texts.EITHER_SEEN: "{version} ou {current}" + _MEMORIZED,
    gate_texts.NO_ROWS: "{version} não tem linhas de teste: treine de novo com linhas de teste",
    gate_texts.NO_COMMON_ROWS: (
        "nenhuma linha de teste em comum com {current}: treine de novo com as mesmas linhas de teste"
    ),
    gate_texts.NO_BETTER_THAN_GUESSING: (
        "acurácia de {accuracy:.3f} em {rows:,} linhas: prever sempre a categoria mais frequente teria {guessing:.3f}"
    ),
    gate_texts.PERHAPS_WORSE: _ROWS
    + (
        "a diferença está acima de {bound:+.3f} com 95% de confiança, exigido: {required:+.3f}; uma versão "
        "igualmente boa precisa de cerca de {needed:,} linhas"
    ),
    gate_texts.SMALL_GAIN: _ROWS + "diferença de {gain:+.3f}, exigido: mais de {required:+.3f}",
    gate_texts.SMALL_IMPROVEMENT: _ROWS + "diferença de {gain:+.3f}, exigido: pelo menos {required:+.3f}",
    gate_texts.PERHAPS_CHANCE: _CHANCE,
    gate_texts.GAIN_PERHAPS_CHANCE: _CHANCE
    + (
        ", e para os {gain:+.3f} observados, cerca de {needed_for_gain:,} (`--rule gain` exige só mais de "
        "{required:+.3f})"
    ),
    gate_texts.LABEL_WITHOUT_ROWS: "nenhuma linha de teste tem a categoria {label!r}: adicione algumas",
    gate_texts.LOW_RECALL: "{found} de {rows} linhas de {label!r} encontradas; exige-se pelo menos a metade",
    gate_texts.RECALL_DROP: (
        "{found} de {rows} linhas de {label!r} encontradas; a versão atual encontra {current}: queda de mais "
        "de {limit}"
    ),
    gate_texts.LESS_RELIABLE: (
        "a confiança é menos precisa: log loss de {nll:.3f} contra {current:.3f}; permite-se no máximo {limit} a mais"
    ),
    gate_texts.SLOWER: (
        "mais lenta: {metric} {cost:.1f} contra {current:.1f}, {ratio:.2f} vezes mais; permite-se no máximo {limit} "
        "vezes (TRIAGEM_MAX_COST_RATIO): aceite o custo com `triagem models promote --accept-cost`"
    ),
    gate_texts.NOT_COMPARED: ("{version} não é comparada: suas métricas medem memorização (--allow-leakage)"),
    gate_texts.SLOWER_ACCEPTED: (
        "mais lenta, o que é aceito: {metric} {cost:.1f} contra {current:.1f}, {ratio:.2f} vezes mais"
    ),
    gate_texts.SPEED_UNKNOWN: "{version} não tem {metric}: a velocidade não é verificada",
    gate_texts.BASELINE_BETTER: (
        "TF-IDF com regressão logística é melhor: macro-F1 de {baseline:.3f} contra {model:.3f}"
    ),
}


class _PortugueseFormatter(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        return local_number("pt-BR", text) if isinstance(value, int | float) else text


def in_portuguese(text: str) -> str | None:
    """A reason or note of the gate in Portuguese; None if it has no translation, such as a damaged version's."""
    if not isinstance(text, Phrase) or text.template not in PORTUGUESE:
        return None
    return _PortugueseFormatter().format(PORTUGUESE[text.template], **text.values)
