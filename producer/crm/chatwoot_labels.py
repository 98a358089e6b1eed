"""Builds the requests that label a Chatwoot conversation with a result.

https://developers.chatwoot.com/api-reference/conversations/add-labels: it replaces *all* labels, so they are read
first. A label that an agent sets between the two requests is lost; Chatwoot has no call that only adds.
"""

from collections.abc import Mapping, Sequence

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.outgoing import Request
from triagem.producer.crm.payload import parse, value_at
from triagem.producer.crm.result import CrmResult, json_body, numeric_id, result_tags
from triagem.producer.crm.settings import ChatwootLabels


def read_labels(result: CrmResult, account_id: int, settings: ChatwootLabels) -> Request:
    """The request that reads a conversation's labels. Raises InvalidInput if its id is not a number."""
    return Request("GET", _url(result, account_id, settings), _headers(settings))


def parse_labels(response: bytes) -> list[str]:
    """The labels in Chatwoot's response, `{"payload": ["vip"]}`.

    Raises:
        InvalidInput: it has no list of labels. Writing without them would delete labels that agents set.
    """
    try:
        labels = value_at(parse(response), "payload")
    except InvalidTicket:
        labels = None
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
    return Request("POST", _url(result, account_id, settings), _headers(settings), json_body({"labels": labels}))


def _url(result: CrmResult, account_id: int, settings: ChatwootLabels) -> str:
    return f"{settings.url}/api/v1/accounts/{account_id}/conversations/{numeric_id(result)}/labels"


def _headers(settings: ChatwootLabels) -> Mapping[str, str]:
    return {"Content-Type": "application/json", "api_access_token": settings.token.get_secret_value()}
