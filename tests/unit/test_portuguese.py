"""Each reason that the code writes in English, and that a page may show, has a pattern in `portuguese.toml`."""

import ast
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from string import Formatter

import pytest

import triagem
from triagem.contracts.errors import _REASONS
from triagem.contracts.field_errors import REASONS
from triagem.contracts.portuguese import in_portuguese
from triagem.db.reviews.records import NoCorrection
from triagem.gateway.console.messages import MESSAGES
from triagem.notify.alert_messages import _CAUSES
from triagem.ops.retention import RetentionSettings
from triagem.registry import gate_texts
from triagem.worker.batch import FailedEntry

PACKAGE = Path(triagem.__file__).parent
# Packages whose errors and reasons a page may show; not those that only the command line or a program sees.
SHOWN = ("contracts", "db/connect.py", "db/labels.py", "db/runs", "db/tickets/window.py", "engine", "gateway/console",
         "notify/alert_rules.py", "notify/hosts.py", "notify/request.py", "settings_file.py",
         "inbox/batch.py", "ops/reclassify.py", "ops/replay.py", "producer", "records", "registry", "trainer",
         "worker")  # fmt: skip
NOT_SHOWN = (
    "contracts/model.py",  # a model's validation
    "producer/client.py", "producer/client_protocol.py",  # in the client's process
)  # fmt: skip
# Calls whose last argument is a text for a person, or the one with this number.
TEXTS = dict.fromkeys(
    ("InvalidInput", "InvalidTicket", "UnreadableEntry", "IgnoredWebhook", "UnmatchedWebhook", "UnreadableWebhook",
     "ModelCorrupt", "ModelBroken", "MissingExtra", "NoModel", "NotFinite", "LabelsMismatch", "AlreadyTraining",
     "InboxFull", "OutOfMemory", "RowRefused", "StatementRefused", "WindowTooLarge", "ValueError",
     "DatabaseUnavailable", "RegistryUnavailable"),
    -1,
) | {"Actor": 0, "FailedEntry": list(FailedEntry.__annotations__).index("reason"), "BadLine": 1}  # fmt: skip
VALUE = "7"


def written(node: ast.expr) -> list[str]:
    """The texts that an expression may give, with a value in place of each part that is only known at run time."""
    texts = [VALUE]
    match node:
        case ast.Constant(value=str(text)):
            texts = [text]
        case ast.JoinedStr(values=parts):
            texts = ["".join(texts) for texts in product(*map(written, parts))]
        case ast.FormattedValue(value=ast.IfExp() | ast.Constant() as value):
            texts = written(value)
        case ast.FormattedValue(conversion=114):  # !r
            texts = [repr(VALUE)]
        case ast.IfExp(body=body, orelse=other):
            texts = written(body) + written(other)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            texts = [first + second for first, second in product(written(left), written(right))]
    return texts


def texts_of_the_code() -> Iterator[tuple[str, str]]:
    left_out = [PACKAGE / name for name in NOT_SHOWN]
    for root in (PACKAGE / name for name in SHOWN):
        for file in [root] if root.is_file() else sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file not in left_out else ():
                name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
                if isinstance(node, ast.Call) and name in TEXTS and len(node.args) > max(0, TEXTS[name]):
                    for text in written(node.args[TEXTS[name]]):
                        if len(re.findall("[a-z]{2,}", re.sub(r"^[\w.]+: ", "", text))) > 1:  # not only values
                            yield f"{file.relative_to(PACKAGE)}:{node.lineno}", text


def patterns() -> dict[str, str]:
    content = PACKAGE.joinpath("contracts", "portuguese.toml").read_text(encoding="utf-8")
    return {english: text for table in tomllib.loads(content).values() for english, text in table.items()}


def test_each_text_of_the_code_is_translated() -> None:
    texts = set(texts_of_the_code())
    assert len(texts) > 150
    # A value at the end, such as a suggestion, may be empty.
    forms = {(place, text): (text, text.removesuffix(VALUE)) for place, text in texts}
    assert {text for text, form in forms.items() if not any(map(in_portuguese, form))} == set()


def test_each_reason_of_a_preset_of_the_gate_and_of_a_correction_is_translated() -> None:
    presets = PACKAGE.joinpath("producer", "crm", "presets.toml").read_text(encoding="utf-8")
    texts = [reason.replace("{event}", VALUE) for reason in re.findall(r'^reason = "(.+)"$', presets, re.MULTILINE)]
    texts += [re.sub(r"{.+?}", VALUE, text) for kind, text in REASONS.items() if kind != "literal_of_one"]
    gate = [re.sub(r"{.+?}", VALUE, text) for name, text in vars(gate_texts).items() if name.isupper()]
    assert len(texts) > 20
    assert [text for text in (*texts, *gate, *NoCorrection) if in_portuguese(text) is None] == []


def test_each_text_of_the_toml_parser_is_translated() -> None:
    source = ast.parse(inspect.getsource(tomllib._parser))  # type: ignore[attr-defined]
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
    errors = [node for node in calls if getattr(node.func, "id", "") in {"suffixed_err", "TOMLDecodeError"}]
    arguments = [text for error in errors for argument in error.args for text in written(argument)]
    texts = {text for text in arguments if re.match("[A-Z][a-z]+ ", text)}
    assert len(texts) > 15
    for text, place in product(texts, ("at end of document", "at line 7, column 7")):
        translated = str(in_portuguese(f"a.toml is not valid TOML: {text} ({place})"))
        assert "mensagem do Python" not in translated, text


@pytest.mark.parametrize("reason", _REASONS.values())
def test_each_reason_that_a_server_does_not_answer_is_translated(reason: str) -> None:
    assert in_portuguese(f"Postgres does not answer or is busy ({reason})")


def test_each_kind_of_deleted_data_is_translated_in_the_audit_trail() -> None:
    entries = [f"{kind} > 90 d" for kind in RetentionSettings(texts_days=90).days()]
    assert len(entries) > 5
    assert [entry for entry in entries if in_portuguese(entry) is None] == []


@pytest.mark.parametrize("term", ["fila de tempo real", "de consenso", "o trainer", "do trainer", "apagou um ticket"])
def test_portuguese_texts_use_the_terms_of_the_glossary(term: str) -> None:
    texts = [*patterns().values(), *(text for _, text in MESSAGES.values()), *(text for _, text in _CAUSES.values())]
    assert [text for text in texts if term in text] == []


def test_no_two_patterns_match_the_same_text() -> None:
    content = PACKAGE.joinpath("contracts", "portuguese.toml").read_text(encoding="utf-8")
    texts = [re.sub(r"{\w+}", "{}", text) for table in tomllib.loads(content).values() for text in table]
    assert {text for text, number in Counter(texts).items() if number > 1} == set()


def test_each_pattern_is_of_a_text_of_the_code() -> None:
    """Most of its pairs of words stand in the source: a text may be put together from several."""
    tables = tomllib.loads(PACKAGE.joinpath("contracts", "portuguese.toml").read_text(encoding="utf-8"))
    del tables["words of Python"]
    files = {path for root in (PACKAGE, *PACKAGE.iterdir()) for path in root.resolve().rglob("*.*")}
    sources = [path.read_text(encoding="utf-8") for path in files if path.suffix in {".html", ".sql"}]
    sources.append(PACKAGE.joinpath("producer", "crm", "presets.toml").read_text(encoding="utf-8"))
    for path in (path for path in files if path.suffix == ".py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        sources += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    source = "\n".join(sources)
    for text in (text for table in tables.values() for text in table):
        pieces = [piece.split() for part, *_ in Formatter().parse(text) for piece in re.split("[,;:()@.'\"]+", part)]
        words = [" ".join(piece[start : start + 2]) for piece in pieces for start in range(max(1, len(piece) - 1))]
        assert sum(pair in source or pair.replace(" ", "_") in source for pair in words) > len(words) / 2, text


def test_a_translation_names_only_values_of_its_pattern() -> None:
    for english, portuguese in patterns().items():
        names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, portuguese)]
        assert names[1] <= names[0], english


@pytest.mark.parametrize(
    ("english", "portuguese"),
    [
        ("revised_at: is missing", "revised_at: ausente"),
        ("text: has more than 100,000 characters", "text: tem mais de 100.000 caracteres"),
        ("external_id = detail.id: is missing or not an id", "external_id = detail.id: ausente ou não é um ID"),
        (
            "cannot store the result: Postgres refused a value (DataError, SQLSTATE 22021)",
            "não foi possível gravar o resultado: o Postgres recusou um valor (DataError, SQLSTATE 22021)",
        ),
        ("the model fails on this text: RuntimeError", "o modelo falha neste texto: RuntimeError"),
        (
            "record 2: body: has more than 100,000 values: send it in parts; record 3: text: is empty",
            "registro 2: body: tem mais de 100.000 valores: envie em partes; registro 3: text: vazio",
        ),
        (
            "temperature 1.40, fitted on 690 out-of-fold texts: NLL 0.410 → 0.350, ECE 0.080 → 0.020",
            "temperatura 1,40, ajustada em 690 textos (validação cruzada): log loss 0,410 → 0,350, ECE 0,080 → 0,020",
        ),
        ("unknown key trg_erra", "chave desconhecida trg_erra"),
        ("unnamed user@host (command line)", "usuário sem nome@host (linha de comando)"),
        (
            "not enough memory for a single text: give the worker more memory; no ticket is dead-lettered",
            (
                "falta memória até para um único texto: dê mais memória ao worker; nenhum ticket vai para as "
                "mensagens não processadas"
            ),
        ),
        ("pre-flight 3", "simulação 3"),
        (
            (
                "rows: 9, different ids: 2 (repeated: lines 3, 5, …); of each ticket only the newest text is "
                "classified. If each row is a message, call the column of its id message_id"
            ),
            (
                "linhas: 9, IDs diferentes: 2 (repetidos: linhas 3, 5, …); de cada ticket só o texto mais novo é "
                "classificado. Se cada linha é uma mensagem, chame a coluna do ID dela de message_id"
            ),
        ),
        (
            "/etc/alerts.toml [rules.doubtful] channels: there is no [channels.mail]",
            "/etc/alerts.toml [rules.doubtful] channels: não existe [channels.mail]",
        ),
        (
            "/a.toml allowed_hosts: must be a list, in brackets",
            "/a.toml allowed_hosts: precisa ser uma lista, entre colchetes",
        ),
        (
            "/a.toml channels.a: type is missing",
            "/a.toml channels.a: type ausente; use slack, webhook, email ou apprise",
        ),
        (
            "/a.toml [channels.m] url: is not a URL that Apprise knows: see https://apprise.example",
            "/a.toml [channels.m] url: não é uma URL que o Apprise conheça: veja https://apprise.example",
        ),
        (
            "a.toml language: must be one of en or pt-BR",
            "a.toml language: precisa ser um destes valores: en ou pt-BR",
        ),
        (
            "/a.toml [zendesk] secret_file: cannot read /nao (No such file or directory)",
            "/a.toml [zendesk] secret_file: não foi possível ler /nao (o arquivo não existe)",
        ),
        (
            "/a.toml [rules.Regra Á] name: must match the pattern ^[a-z]+$",
            "/a.toml [rules.Regra Á] name: precisa corresponder ao padrão ^[a-z]+$",
        ),
        (
            "crm.toml [minha loja] signature.separator: must be one of ',', ';' or ' '",
            "crm.toml [minha loja] signature.separator: precisa ser um destes valores: ',', ';' ou ' '",
        ),
        (
            "crm.toml [x] records: '[' is not a regular expression: unterminated character set",
            "crm.toml [x] records: '[' não é uma expressão regular",
        ),
        (
            "a.toml is not valid TOML: Cannot declare ('a', 'b') twice (at line 3, column 5)",
            "a.toml não é TOML válido: a tabela [a.b] aparece duas vezes (linha 3, coluna 5)",
        ),
        (
            "crm.toml [x] field.body: {lbl} is not one of band, label",
            "crm.toml [x] field.body: {lbl} não é um destes valores: band, label",
        ),
        (
            "1,060 training rows (Pedido de informação 50%, Cobrança (fatura), outros 50%), 1 dev rows, 2 test rows",
            (
                "1.060 linhas de treino (Pedido de informação 50%, Cobrança (fatura), outros 50%), 1 linhas de "
                "validação, 2 linhas de teste"
            ),
        ),
        (
            "4 training rows (2 different texts; não sei; a 75%, venda 25%), 2 test rows (1 different texts)",
            (
                "4 linhas de treino (2 textos diferentes; não sei; a 75%, venda 25%), 2 linhas de teste (1 textos "
                "diferentes)"
            ),
        ),
        ("no dev row has the label 'troca'", "nenhuma linha de validação tem a categoria 'troca'"),
        (
            (
                "review below 0.7, the default: 60 held-out texts, 58 of them right, do not prove 95%; over 10,000 "
                "more with the same accuracy would"
            ),
            (
                "revisão abaixo de 0,7, o padrão: 60 textos separados, 58 certos, não comprovam 95%; faltam mais de "
                "10.000 com a mesma acurácia"
            ),
        ),
        (
            "a.toml is not valid TOML: Unclosed array (at line 3, column 12)",
            "a.toml não é TOML válido: falta fechar uma lista (linha 3, coluna 12)",
        ),
        ("line 3: not CSV (',' expected after '\"')", "linha 3: não é CSV (falta ',' depois de '\"')"),
        (
            "is not a JMESPath expression: unexpected $ at character 1; the payload itself is @",
            "não é uma expressão JMESPath: $ inesperado no caractere 1; o próprio conteúdo é @",
        ),
        (
            "Postgres refuses every ticket, including a test ticket: a value holds a lone surrogate (broken Unicode)",
            (
                "o Postgres recusa todos os tickets, inclusive um de teste: um valor tem um surrogate isolado "
                "(Unicode inválido)"
            ),
        ),
        ("until", "no horário configurado"),  # a paused run's reason, after its state
        ("v1.1.0 was promoted (epoch 3)", "a versão v1.1.0 foi promovida (promoção número 3)"),
    ],
)
def test_a_reason_is_in_portuguese_with_its_values(english: str, portuguese: str) -> None:
    assert in_portuguese(english) == portuguese


@pytest.mark.parametrize(
    "text", ["a reason of another release", "a new reason: is odd", "revised_at: is odd", "is empty" + " " * 3000, ""]
)
def test_a_text_that_is_not_known_as_a_whole_is_not_translated(text: str) -> None:
    assert in_portuguese(text) is None


@pytest.mark.parametrize("part", ["a: ", "a; ", "a (b): ", ": ; ", "record 1: ", "is empty; "])
def test_a_text_nested_hundreds_of_times_is_answered(part: str) -> None:
    assert in_portuguese(part * (1000 // len(part))) is None


def test_a_small_number_has_a_decimal_comma() -> None:
    assert in_portuguese("step 400: 2.452e-05") == "passo 400: 2,452e-05"


def test_a_version_within_a_reason_is_not_taken_for_the_reason() -> None:
    text = "no current model in /m: v1.0.0 is registered but not current; `x` runs the gate, with --force --reason"
    text += ' "…" it promotes the version whatever the gate decides'
    assert str(in_portuguese(text)).startswith("não há modelo atual em /m: v1.0.0 está registrada, mas não é a atual")


def test_lanes_have_their_portuguese_names() -> None:
    text = in_portuguese(
        "the live lane is full (20 entries, the high-water mark is 20): wait until workers have drained it"
    )
    assert str(text).startswith("a fila em tempo real está cheia")
