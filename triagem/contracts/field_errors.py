"""Names the first invalid field of a ticket, a file's table or a request, without the field's value."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

UNNAMED: Final = "a field's name"
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_MAX_UNKNOWN: Final = 5


def first_error(error: ValidationError) -> tuple[str, str]:
    """The first invalid field and the reason; never its value, and no field name that looks like text."""
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    reason = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "missing" if unknown := _unknown_fields(errors, first["loc"][:-1]):
            reason += f"; unknown fields: {', '.join(unknown)}"
        case "extra_forbidden":
            reason = "is not a known field"
        case "timezone_aware":
            reason = "has no offset from UTC"
        case "tuple_type" | "list_type":
            reason = "must be a list, in brackets"
        case "string_too_long":
            reason = f"has more than {first['ctx']['max_length']:,} characters"
        case "too_short" if first["ctx"]["field_type"] == "Value":  # a secret
            reason = f"must have at least {first['ctx']['min_length']} characters"
        case "union_tag_not_found":
            reason = f"{first['ctx']['discriminator']} is missing".replace("'", "")
        case "union_tag_invalid":
            reason = "{discriminator} must be one of {expected_tags}".format(**first["ctx"]).replace("'", "")
    if first["loc"]:
        return ".".join(map(_shown, first["loc"])), reason
    field, _, reason = reason.rpartition(": ")
    return ".".join(map(_shown, field.split("."))) if field else "", reason


def _unknown_fields(errors: "Sequence[ErrorDetails]", place: tuple[int | str, ...]) -> list[str]:
    """The unknown fields next to a missing one: it was probably sent under one of these names."""
    unknown = (e["loc"][-1] for e in errors if e["type"] == "extra_forbidden" and e["loc"][:-1] == place)
    return [name for name in map(_shown, unknown) if name != "?"][:_MAX_UNKNOWN]


def _shown(part: str | int) -> str:
    """A part of a field's path; a customer's text sent as a field name must not reach a log."""
    return str(part) if isinstance(part, int) or _FIELD_NAME.fullmatch(part) or part == UNNAMED else "?"
