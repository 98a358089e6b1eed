"""JMESPath expressions of the CRM file: checked when the file is read, evaluated on the payload of a webhook.

They come from the operator's settings, never from the sender. Two functions are added to JMESPath's own:
`matches(value, regex)` and `without(value, regex)`, which removes a match at the value's start.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter
from pydantic import AfterValidator

from triagem.contracts.errors import InvalidTicket

_ANY: Final[dict[str, list[str]]] = {"types": []}
_OF_LISTS: Final = ("projection", "filter_projection", "flatten")
_PATTERN: Final = {"types": ["string"]}
# JMESPath's own errors are ValueErrors.
_FAILURES: Final = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, re.error)


class _Functions(Functions):  # type: ignore[misc]
    @signature(_ANY, _PATTERN)  # type: ignore[untyped-decorator]
    def _func_matches(self, value: object, pattern: str) -> bool:
        return isinstance(value, str) and re.search(pattern, value) is not None

    @signature(_ANY, _PATTERN)  # type: ignore[untyped-decorator]
    def _func_without(self, value: object, pattern: str) -> object:
        return re.sub(rf"\A(?:{pattern})", "", value, count=1) if isinstance(value, str) else value


class _Interpreter(TreeInterpreter):  # type: ignore[misc]
    """Reads one object where an expression for a list, such as `items[]`, expects a list."""

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        if node["type"] in _OF_LISTS:
            base = self.visit(node["children"][0], *args)
            listed = {"type": "literal", "value": [base] if isinstance(base, dict) else base, "children": []}
            node = {**node, "children": [listed, *node["children"][1:]]}
        return super().visit(node, *args, **kwargs)


_OPTIONS: Final = jmespath.Options(custom_functions=_Functions())
_compile: Final = lru_cache(maxsize=1024)(jmespath.compile)


def search(expression: str | None, value: object, field: str) -> Any:
    """The value of an expression; None without one, or if it selects nothing.

    Raises:
        InvalidTicket: the expression fails on this value.
    """
    if expression is None:
        return None
    try:
        return _Interpreter(_OPTIONS).visit(_compile(expression).parsed, value)
    except _FAILURES as error:
        raise InvalidTicket(field, f"its expression fails on this payload ({type(error).__name__})") from None


def failed_comparisons(expression: str, value: object) -> Iterator[tuple[str, object, object]]:
    """Comparisons `path == literal` in an expression that fail on a value: path, literal, actual value."""
    for node in _nodes(_compile(expression).parsed):
        if node["type"] != "comparator" or node["value"] != "eq" or node["children"][1]["type"] != "literal":
            continue
        path, expected = _path(node["children"][0]), node["children"][1]["value"]
        if path and (actual := search(path, value, "records")) != expected:
            yield path, expected, actual


def unquoted_texts(expression: str, value: object) -> Iterator[str]:
    """Fields that an expression compares with, and that a payload has nowhere: perhaps meant as texts."""
    for node in _nodes(_compile(expression).parsed):
        if node["type"] == "comparator" and (path := _path(node["children"][1])):
            name = path.rpartition(".")[2].strip('"')
            if f"{json.dumps(name)}: " not in json.dumps(value):
                yield path


def _path(node: Any) -> str | None:
    """A parsed path such as `contact.name` as text; None for anything else."""
    if node["type"] == "field":
        return f'"{node["value"]}"' if not node["value"].isidentifier() else str(node["value"])
    if node["type"] != "subexpression":
        return None
    names = [_path(child) for child in node["children"]]
    return None if None in names else ".".join(name for name in names if name)


def _check(expression: str) -> str:
    try:
        parsed: ParsedResult = _compile(expression)
    except JMESPathError as error:
        raise ValueError(f"is not a JMESPath expression: {_advice(error, expression)}") from None
    for node in _nodes(parsed.parsed):
        if node["type"] == "function_expression" and node["value"] not in _Functions.FUNCTION_TABLE:
            raise ValueError(f"calls {node['value']}(), which is not a function of JMESPath")
        if node["type"] == "function_expression" and node["value"] in {"matches", "without"}:
            _check_pattern(node["children"][-1].get("value"))
        if node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression":
            raise ValueError("!a.b means (!a).b in JMESPath, which is always null: write !(a.b)")
    return expression


def _check_pattern(pattern: object) -> None:
    try:
        re.compile(pattern if isinstance(pattern, str) else "")
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error.msg}") from None


def _advice(error: JMESPathError, expression: str) -> str:
    """The place of a mistake, and what may be wrong there."""
    position = getattr(error, "lex_position", None)
    if position is None or position >= len(expression):
        return "it ends too early"
    character = expression[position]
    hint = (
        "; in double quotes, a name may have any character"
        if character == "-" or (character.isalpha() and not character.isascii())
        else "; the payload itself is @"
        if character == "$"
        else "; a comparison is =="
        if character == "="
        else ""
    )
    return f"unexpected {character} at character {position + 1}{hint}"


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


Expression = Annotated[str, AfterValidator(_check)]
