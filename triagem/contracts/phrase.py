"""A text with its template and values, so that the console can show it in another language."""

from collections.abc import Mapping
from typing import Any, Self


class Phrase(str):
    """An English text; also the template and the values that it was made of."""

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, **values: Any) -> Self:
        """Fill in the template."""
        phrase = super().__new__(cls, template.format(**values))
        phrase.template, phrase.values = template, values
        return phrase
