"""Builds the requests that deliver a result to a CRM: a signed webhook, fields, Zendesk tags, Chatwoot labels. Pure.

The settings are tables of `TRIAGEM_CRM_FILE`, which `triagem.producer.crm` reads.
"""

import base64
import hashlib
import json
import re
from collections.abc import Generator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, JsonValue, SecretStr, field_validator

from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band
from triagem.notify.request import Request, SigningKey, json_request, signed_request
from triagem.settings_file import SettingsTable

if TYPE_CHECKING:  # producers import these settings, and must not load a database driver
    from triagem.db.outbox.deliveries import LeasedResult

_Site = Annotated[str, Field(pattern=r"^https?://[^?#]+$"), AfterValidator(lambda url: url.rstrip("/"))]
_Prefix = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]+$", description="Triagem owns tags with this prefix")]


class CallbackSettings(SettingsTable):
    """The URL that results of this source are sent to, signed after Standard Webhooks."""

    url: str
    secret: SigningKey


_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class FieldSettings(SettingsTable):
    """A JSON request that writes a result into fields of the ticket, for CRMs whose API needs a single request.

    `{external_id}`, `{label}`, `{band}`, `{confidence}`, `{model_version}` and `{reviewed}` are replaced in the path
    and in strings of the body, `{token}` in headers. A string that is only a placeholder becomes its value.
    """

    url: _Site = Field(description="the API's address: https://acme.zammad.com")
    method: Literal["POST", "PUT", "PATCH"] = "PUT"
    path: str = Field(pattern=r"^/[!-~]*$", description="such as /api/tickets/{external_id}")
    token: Annotated[SecretStr, Field(min_length=8)]
    headers: dict[str, str] = Field(default={"Authorization": "Bearer {token}"})
    body: dict[str, JsonValue] = Field(description="such as { category = '{label}' }")

    @field_validator("path", "body")
    @classmethod
    def _check_placeholders(cls, value: JsonValue) -> JsonValue:
        used = _PLACEHOLDER.findall(json.dumps(value, ensure_ascii=False))
        if unknown := sorted(set(used) - _RESULT_FIELDS):
            raise ValueError(f"{{{unknown[0]}}} is not one of {', '.join(sorted(_RESULT_FIELDS))}")
        return value


_RESULT_FIELDS: Final = frozenset({"external_id", "label", "band", "confidence", "model_version", "reviewed"})


class ZendeskTags(SettingsTable):
    """The Zendesk account that sets tags."""

    url: _Site = Field(description="https://SUBDOMAIN.zendesk.com")
    user: str = Field(min_length=3, description="the e-mail address that the API token belongs to")
    token: Annotated[SecretStr, Field(min_length=8)]
    prefix: _Prefix = "triagem-"


class ChatwootLabels(SettingsTable):
    """The Chatwoot account that sets labels."""

    url: _Site = Field(description="https://app.chatwoot.com, or your own server")
    account_id: int = Field(description="the `account_id` of the source")
    token: Annotated[SecretStr, Field(min_length=8)]
    prefix: _Prefix = "triagem-"


CrmTarget = CallbackSettings | FieldSettings | ZendeskTags | ChatwootLabels


def delivery_requests(result: "LeasedResult", target: CrmTarget, now: datetime) -> Generator[Request, bytes, None]:
    """Yield the requests that deliver a result; each yield returns the response to that request.

    Raises:
        InvalidInput: the ticket's id is not valid in this CRM, or a response cannot be read.
    """
    match target:
        case CallbackSettings():
            yield callback_request(result, target, now)
        case FieldSettings():
            yield field_request(result, target)
        case ZendeskTags():
            yield from tag_ticket(result, target)
        case ChatwootLabels():
            yield from label_conversation(result, target)


def delivery_id(result: "LeasedResult") -> str:
    """The id of a delivery. It is the same on each attempt, so that receivers can ignore duplicates."""
    change = [result.created_at.isoformat(), result.revision, result.model_version, result.label]
    identity = json.dumps([result.source, result.external_id, *change])
    return "res_" + hashlib.sha256(identity.encode()).hexdigest()[:32]


def callback_request(result: "LeasedResult", settings: CallbackSettings, now: datetime) -> Request:
    """The signed request for a result."""
    event = {
        "type": "ticket.classified",
        "timestamp": result.classified_at.isoformat(),
        "data": {
            "id": delivery_id(result),
            "source": result.source,
            "external_id": result.external_id,
            "revised_at": result.revised_at.isoformat(),
            "label": None if result.band is Band.ABSTAIN else result.label,
            "confidence": result.confidence,
            "band": result.band.value,
            "model_version": result.model_version,
            "reviewed": result.reviewed,
            "abstain_reason": result.abstain_reason,
        },
    }
    return signed_request(delivery_id(result), settings.url, event, settings.secret, now)


def field_request(result: "LeasedResult", settings: FieldSettings) -> Request:
    """The request that writes a result into the ticket's fields."""
    values: dict[str, JsonValue] = {name: getattr(result, name) for name in _RESULT_FIELDS}

    def filled(value: JsonValue) -> JsonValue:
        if isinstance(value, str):
            only = _PLACEHOLDER.fullmatch(value)
            return values[only[1]] if only else _PLACEHOLDER.sub(lambda match: str(values[match[1]]), value)
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {key: filled(item) for key, item in value.items()} if isinstance(value, dict) else value

    path = _PLACEHOLDER.sub(lambda match: quote(str(values[match[1]]), safe=""), settings.path)
    token = settings.token.get_secret_value()
    headers = {name: value.replace("{token}", token) for name, value in settings.headers.items()}
    return json_request(settings.method, settings.url + path, filled(settings.body), headers)


def tag_ticket(result: "LeasedResult", settings: ZendeskTags) -> Generator[Request, bytes, None]:
    """The requests that tag a ticket: one adds tags and, if the ticket was labelled before, another removes tags.

    https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds tags and keeps the others
    (POST would replace them), DELETE removes tags. Neither works on closed tickets.

    Raises:
        InvalidInput: the ticket's id is not a number.
    """
    url = f"{settings.url}/api/v2/tickets/{_number(result)}/tags"
    login = base64.b64encode(f"{settings.user}/token:{settings.token.get_secret_value()}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    current = result_tags(result, settings.prefix)
    yield json_request("PUT", url, {"tags": current}, headers)
    if result.previous_labels:
        own_tags = {label_tag(label, settings.prefix) for label in result.previous_labels}
        own_tags |= {settings.prefix + band for band in (Band.REVIEW, Band.ABSTAIN)}
        yield json_request("DELETE", url, {"tags": sorted(own_tags.difference(current))}, headers)


def label_conversation(result: "LeasedResult", settings: ChatwootLabels) -> Generator[Request, bytes, None]:
    """The requests that label a conversation and keep labels that Triagem did not set.

    https://developers.chatwoot.com/api-reference/conversations/add-labels: the call replaces *all* labels, so they
    are read first. A label that an agent sets between the two requests is lost; Chatwoot has no call that only adds.

    Raises:
        InvalidInput: the conversation's id is not a number, or the first response has no list of labels.
    """
    url = f"{settings.url}/api/v1/accounts/{settings.account_id}/conversations/{_number(result)}/labels"
    headers = {"api_access_token": settings.token.get_secret_value()}
    existing = _parse_labels((yield Request("GET", url, headers)))
    others = [label for label in existing if not label.startswith(settings.prefix)]
    labels = others + result_tags(result, settings.prefix)
    if set(labels) != set(existing):  # writing equal labels would make Chatwoot send an "updated" webhook
        yield json_request("POST", url, {"labels": labels}, headers)


def _parse_labels(response: bytes) -> list[str]:
    """The labels in Chatwoot's response, `{"payload": ["vip"]}`. Triagem must write them back to keep them."""
    try:
        labels = json.loads(response, strict=False)["payload"]
    except (LookupError, RecursionError, TypeError, ValueError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InvalidInput("Chatwoot's response has no list of labels")
    return labels


def result_tags(result: "LeasedResult", prefix: str) -> list[str]:
    """A result as tags: `triagem-venda`, plus `triagem-review` if a review is needed; or `triagem-abstain` alone.

    Characters other than letters and digits become `_`: Zendesk splits tags at spaces, and Chatwoot refuses most
    punctuation.
    """
    band = [] if result.band is Band.AUTOMATE else [prefix + result.band.value]
    return band if result.band is Band.ABSTAIN else [label_tag(result.label, prefix), *band]


def label_tag(label: str, prefix: str) -> str:
    """A label as a tag."""
    return prefix + re.sub(r"\W+", "_", label.lower()).strip("_")


def _number(result: "LeasedResult") -> str:
    """The ticket's id, for a URL: a number in Zendesk and Chatwoot."""
    if not (result.external_id.isascii() and result.external_id.isdecimal()):
        raise InvalidInput(f"{result.source}: the ticket's id is not a number, as this CRM requires")
    return result.external_id
