"""Builds the requests that deliver a result to a CRM: a signed webhook, fields, Zendesk tags, Chatwoot labels. Pure.

The settings are tables of `TRIAGEM_CRM_FILE`, which `triagem.producer.crm` reads.
"""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, JsonValue, SecretStr, model_validator

from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band
from triagem.notify.request import Request, SigningKey, signed_request
from triagem.notify.settings_file import SettingsTable

_Site = Annotated[str, Field(pattern=r"^https?://[^?#]+$"), AfterValidator(lambda url: url.rstrip("/"))]
_Prefix = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]+$", description="tags with this prefix are ours")]


class CallbackSettings(SettingsTable):
    """The URL that results of this source are sent to, signed after Standard Webhooks."""

    url: str
    secret: SigningKey


_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


class FieldSettings(SettingsTable):
    """One JSON request that writes a result into fields of the ticket, for CRMs whose API needs no more.

    `{external_id}`, `{label}`, `{band}`, `{confidence}`, `{model_version}` and `{reviewed}` are replaced in the path
    and in strings of the body, `{token}` in headers. A string that is only a placeholder becomes its value.
    """

    url: _Site = Field(description="the API's address: https://acme.zammad.com")
    method: Literal["POST", "PUT", "PATCH"] = "PUT"
    path: str = Field(pattern=r"^/[!-~]*$", description="such as /api/tickets/{external_id}")
    token: Annotated[SecretStr, Field(min_length=8)]
    headers: dict[str, str] = Field(default={"Authorization": "Bearer {token}"})
    body: dict[str, JsonValue] = Field(description="such as { category = '{label}' }")

    @model_validator(mode="after")
    def _check_placeholders(self) -> Self:
        used = _PLACEHOLDER.findall(self.path) + _PLACEHOLDER.findall(json.dumps(self.body, ensure_ascii=False))
        if unknown := sorted(set(used) - _RESULT_FIELDS):
            raise ValueError(f"body: {{{unknown[0]}}} is not one of {', '.join(sorted(_RESULT_FIELDS))}")
        return self


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
    token: Annotated[SecretStr, Field(min_length=8)]
    prefix: _Prefix = "triagem-"


@dataclass(frozen=True, slots=True)
class ChatwootAccount:
    """The account whose conversations are labelled, and the labels' settings."""

    account_id: int
    labels: ChatwootLabels


CrmTarget = CallbackSettings | FieldSettings | ZendeskTags | ChatwootAccount


@dataclass(frozen=True, slots=True)
class CrmResult:
    """The result of a ticket. `changed_at`: when it last changed. `reviewed`: the label comes from a review."""

    source: str
    external_id: str
    changed_at: datetime
    revision: int
    revised_at: datetime
    label: str
    confidence: float
    band: Band
    model_version: str
    classified_at: datetime
    reviewed: bool = False
    abstain_reason: str | None = None

    @property
    def id(self) -> str:
        """Delivery id: the same for every delivery of this result, so that receivers can ignore duplicates."""
        change = [self.changed_at.isoformat(), self.revision, self.model_version, self.label]
        identity = json.dumps([self.source, self.external_id, *change])
        return "res_" + hashlib.sha256(identity.encode()).hexdigest()[:32]


def delivery_requests(
    result: CrmResult, target: CrmTarget, previous_labels: Collection[str], now: datetime
) -> Generator[Request, bytes, None]:
    """Yield the requests that deliver a result; each yield returns the response to that request.

    Args:
        previous_labels: labels that the ticket may have been given before.

    Raises:
        InvalidInput: the ticket's id is not valid in this CRM, or a response cannot be read.
    """
    match target:
        case CallbackSettings():
            yield callback_request(result, target, now)
        case FieldSettings():
            yield field_request(result, target)
        case ZendeskTags():
            for request in tag_ticket(result, target, previous_labels):  # noqa: UP028 - a tuple has no send()
                yield request
        case ChatwootAccount(account_id, settings):
            labels = parse_labels((yield read_labels(result, account_id, settings)))
            if change := write_labels(result, labels, account_id, settings):
                yield change


def callback_request(result: CrmResult, settings: CallbackSettings, now: datetime) -> Request:
    """The request for a result. Each attempt is signed anew with its own `now`; id and body stay the same."""
    body = json_body(
        {
            "type": "ticket.classified",
            "timestamp": result.classified_at.isoformat(),
            "data": {
                "id": result.id,
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
    )
    return signed_request(result.id, settings.url, body, settings.secret, now)


def field_request(result: CrmResult, settings: FieldSettings) -> Request:
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
    body = json_body(filled(settings.body))
    return Request(settings.method, settings.url + path, {"Content-Type": "application/json", **headers}, body)


def tag_ticket(
    result: CrmResult, settings: ZendeskTags, previous_labels: Collection[str] = ()
) -> tuple[Request, ...]:
    """The requests that tag a ticket: one that adds and, if it was labelled before, one that removes.

    https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds and keeps the others (POST
    would replace them), DELETE removes. Neither works on closed tickets.

    Args:
        previous_labels: labels that this ticket was ever given; outdated ones are removed, together with the bands.

    Raises:
        InvalidInput: the ticket's id is not a number.
    """
    url = f"{settings.url}/api/v2/tickets/{numeric_id(result)}/tags"
    current = result_tags(result, settings.prefix)
    bands = (Band.REVIEW, Band.ABSTAIN) if previous_labels else ()
    ours = {label_tag(label, settings.prefix) for label in previous_labels} | {
        settings.prefix + band.value for band in bands
    }
    outdated = sorted(ours.difference(current))
    add = Request("PUT", url, _zendesk_headers(settings), json_body({"tags": current}))
    return (
        (add, Request("DELETE", url, _zendesk_headers(settings), json_body({"tags": outdated})))
        if outdated
        else (add,)
    )


def read_labels(result: CrmResult, account_id: int, settings: ChatwootLabels) -> Request:
    """The request that reads a conversation's labels. Raises InvalidInput if its id is not a number.

    https://developers.chatwoot.com/api-reference/conversations/add-labels: it replaces *all* labels, so they are read
    first. A label that an agent sets between the two requests is lost; Chatwoot has no call that only adds.
    """
    return Request("GET", _labels_url(result, account_id, settings), _chatwoot_headers(settings))


def parse_labels(response: bytes) -> list[str]:
    """The labels in Chatwoot's response, `{"payload": ["vip"]}`.

    Raises:
        InvalidInput: it has no list of labels. Writing without them would delete labels that agents set.
    """
    try:
        document = json.loads(response, strict=False)
    except (ValueError, RecursionError):
        document = None
    labels = document.get("payload") if isinstance(document, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InvalidInput("Chatwoot's response has no list of labels")
    return labels


def write_labels(
    result: CrmResult, existing: Sequence[str], account_id: int, settings: ChatwootLabels
) -> Request | None:
    """The request that labels a conversation and keeps other labels.

    None if the labels are already right, so that Chatwoot sends no "updated" webhook.
    """
    labels = [label for label in existing if not label.startswith(settings.prefix)] + result_tags(
        result, settings.prefix
    )
    if set(labels) == set(existing):
        return None
    return Request(
        "POST", _labels_url(result, account_id, settings), _chatwoot_headers(settings), json_body({"labels": labels})
    )


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


def _zendesk_headers(settings: ZendeskTags) -> Mapping[str, str]:
    login = f"{settings.user}/token:{settings.token.get_secret_value()}".encode()
    return {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(login).decode()}"}


def _labels_url(result: CrmResult, account_id: int, settings: ChatwootLabels) -> str:
    return f"{settings.url}/api/v1/accounts/{account_id}/conversations/{numeric_id(result)}/labels"


def _chatwoot_headers(settings: ChatwootLabels) -> Mapping[str, str]:
    return {"Content-Type": "application/json", "api_access_token": settings.token.get_secret_value()}
