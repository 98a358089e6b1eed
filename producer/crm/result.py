"""What goes back to a CRM: a result, and what the requests that tell it are made of."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band


@dataclass(frozen=True, slots=True)
class Result:
    """What a CRM is told of one text of a ticket. `digest` is that of the clean text, 32 bytes.

    `reviewed`: a person gave the label. `review` is the verdict that is told, negative when it was taken back; 0 is
    the model's first word.
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
        """The same for every delivery of this answer to this text: receivers keep it to count an answer once."""
        said = [self.source, self.external_id, self.digest.hex(), self.model_version]
        said += [str(self.review)] if self.review else []
        return "res_" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def tags(result: Result, prefix: str) -> list[str]:
    """A result as tags: `triagem-venda`; with `triagem-review` where a person should look; `triagem-abstain` alone.

    What is neither letter nor digit becomes `_`: Zendesk parts tags at spaces, Chatwoot refuses most signs.
    """
    band = [] if result.band is Band.AUTOMATE else [prefix + result.band.value]
    return band if result.band is Band.ABSTAIN else [tag(result.label, prefix), *band]


def tag(label: str, prefix: str) -> str:
    """A label as a tag."""
    return prefix + re.sub(r"\W+", "_", label.lower()).strip("_")


def number_of(result: Result) -> str:
    """The ticket's id, for an address. Raises InvalidInput unless it is a number, as in Zendesk and Chatwoot."""
    if not (result.external_id.isascii() and result.external_id.isdecimal()):
        raise InvalidInput(f"{result.source}: a ticket's id in this CRM is a number, this one is none")
    return result.external_id


def json_body(value: Any) -> bytes:
    """JSON in UTF-8, short."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
