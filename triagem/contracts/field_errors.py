"""Names the first invalid field of a ticket, a file's table or a request, without the field's value."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

UNNAMED: Final = "a field's name"
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_QUOTED_NAME: Final = re.compile(r"'([\w.-]+)'")
_MAX_UNKNOWN: Final = 5
# Reasons by the beginning of pydantic's type of the error, filled in with the error's context.
REASONS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "misspelt": "is not a known field: did you mean {near}?",
    "string_type": "must be text",
    "int_": "must be a whole number",
    "float_": "must be a number",
    "bool_": "must be true or false",
    "datetime_": "must be a date with a time",
    "timezone_aware": "has no offset from UTC",
    "list_type": "must be a list, in brackets",
    "tuple_type": "must be a list, in brackets",
    "dict_type": "must be an object with named fields",
    "dataclass_": "must be an object with named fields",
    "model_": "must be an object with named fields",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "literal_of_one": "must be {expected}",
    "union_tag_not_found": "type is missing",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
    "string_too_long": "has more than {max_length:,} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "too_short": "must have at least {min_length} items",
}


def explain(error: "ErrorDetails") -> str:
    """The reason why pydantic refused a value, in our words, without the value."""
    kind, context = error["type"], error.get("ctx", {})
    if context.get("min_length") == 1:
        return "is empty"
    if kind == "too_short" and context["field_type"] == "Value":  # a secret
        kind = "string_too_short"
    if kind == "literal_error" and " or " not in context["expected"]:
        kind = "literal_of_one"
    template = next((text for prefix, text in REASONS.items() if kind.startswith(prefix)), None)
    if template is None:
        return error["msg"].removeprefix("Value error, ")
    reason = template.format(**context)
    return reason if kind == "string_pattern_mismatch" else _QUOTED_NAME.sub(r"\1", reason)


def first_error(error: ValidationError) -> tuple[str, str]:
    """The first invalid field and the reason; never its value, and no field name that looks like text."""
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    reason = explain(first)
    if first["type"] == "missing" and (unknown := _unknown_fields(errors, first["loc"][:-1])):
        reason += f"; unknown fields: {', '.join(unknown)}"
    loc = first["loc"]
    if first["type"] == "misspelt":  # raised for the table that has the field
        loc = (*loc, first["ctx"]["name"])
    if loc:
        return ".".join(map(_shown, loc)), reason
    field, _, reason = reason.rpartition(": ")
    return ".".join(map(_shown, field.split("."))) if field else "", reason


def _unknown_fields(errors: "Sequence[ErrorDetails]", place: tuple[int | str, ...]) -> list[str]:
    """The unknown fields next to a missing one: it was probably sent under one of these names."""
    unknown = (e["loc"][-1] for e in errors if e["type"] == "extra_forbidden" and e["loc"][:-1] == place)
    return [name for name in map(_shown, unknown) if name != "?"][:_MAX_UNKNOWN]


def _shown(part: str | int) -> str:
    """A part of a field's path; a customer's text sent as a field name must not reach a log."""
    return str(part) if isinstance(part, int) or _FIELD_NAME.fullmatch(part) or part == UNNAMED else "?"
