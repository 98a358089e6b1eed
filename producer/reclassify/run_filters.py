"""Parses the `--where` option of a run: `label=venda,source=zendesk,model!=current`. Pure."""

from datetime import UTC, datetime
from typing import Final

from triagem.contracts.errors import InvalidInput

_FIELDS: Final = ("label", "band", "source", "model", "since", "until")


def parse_run_filters(where: str, current: str) -> dict[str, str]:
    """The filters of a run. `current` is the version that `model=current` stands for; times default to UTC.

    `label`, `band` and `model` refer to the model's current result, not to a review.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    filters: dict[str, str] = {}
    for part in filter(None, map(str.strip, where.split(","))):
        name, sign, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if name == "model!":
            name = "not_model"
        if not sign or not value or name not in {*_FIELDS, "not_model"}:
            raise InvalidInput(f"--where {part!r}: expected one of {', '.join(_FIELDS)}, as in source=zendesk")
        if name in filters:
            raise InvalidInput(f"--where: {name.replace('not_model', 'model!')} is given twice")
        if name in {"model", "not_model"} and value == "current":
            value = current
        filters[name] = _time(name, value) if name in {"since", "until"} else value
    return filters


def _time(name: str, value: str) -> str:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(f"--where {name}={value!r}: expected a date or time like 2026-11-02") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
