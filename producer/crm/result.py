"""The result that is delivered to a CRM, and the parts that requests are built from."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band


@dataclass(frozen=True, slots=True)
class CrmResult:
    """The result for one text of a ticket. `digest` is the SHA-256 of the clean text, 32 bytes.

    `reviewed`: the label comes from a review. `review` is the id of the review that is delivered, negative when it
    was undone; 0 stands for the model's first result.
    """

    source: str
    external_id: str
    digest: bytes
    revised_at: datetime
    label: str
    confidence: float
    band: Band
    model_version: str
    classified_at: datetime
    reviewed: bool = False
    review: int = 0

    @property
    def id(self) -> str:
        """Delivery id: the same for every delivery of this result, so that receivers can ignore duplicates."""
        identity = [self.source, self.external_id, self.digest.hex(), self.model_version]
        identity += [str(self.review)] if self.review else []
        return "res_" + hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def result_tags(result: CrmResult, prefix: str) -> list[str]:
    """A result as tags: `triagem-venda`, plus `triagem-review` if a review is needed; or `triagem-abstain` alone.

    Characters other than letters and digits become `_`: Zendesk splits tags at spaces, and Chatwoot refuses most
    punctuation.
    """
    band = [] if result.band is Band.AUTOMATE else [prefix + result.band.value]
    return band if result.band is Band.ABSTAIN else [label_tag(result.label, prefix), *band]


def label_tag(label: str, prefix: str) -> str:
    """A label as a tag."""
    return prefix + re.sub(r"\W+", "_", label.lower()).strip("_")


def numeric_id(result: CrmResult) -> str:
    """The ticket's id, for a URL. Raises InvalidInput unless it is a number, as in Zendesk and Chatwoot."""
    if not (result.external_id.isascii() and result.external_id.isdecimal()):
        raise InvalidInput(f"{result.source}: the ticket's id is not a number, as this CRM requires")
    return result.external_id


def json_body(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
