"""Results to Chatwoot: labels of a conversation, through its API.

https://developers.chatwoot.com/api-reference/conversations/add-labels: it replaces *all* labels, so they are read
first. A label that an agent sets between the two requests is lost; Chatwoot has no call that only adds.
"""

from collections.abc import Mapping, Sequence

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.outgoing import Request
from triagem.producer.crm.payload import at, parse
from triagem.producer.crm.result import Result, json_body, number_of, tags
from triagem.producer.crm.settings import ChatwootLabels


def read_labels(result: Result, account_id: int, settings: ChatwootLabels) -> Request:
    """The request for a conversation's labels. Raises InvalidInput if its id is no number."""
    return Request("GET", _url(result, account_id, settings), _headers(settings))


def labels_in(answer: bytes) -> list[str]:
    """The labels in Chatwoot's answer, `{"payload": ["vip"]}`.

    Raises:
        InvalidInput: it is none. To write without them would wipe what agents set.
    """
    try:
        found = at(parse(answer), "payload")
    except InvalidTicket:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidInput("Chatwoot's answer holds no list of labels")
    return found


def write_labels(
    result: Result, existing: Sequence[str], account_id: int, settings: ChatwootLabels
) -> Request | None:
    """The request that labels a conversation and keeps others' labels; None if it already has ours, so that
    Chatwoot has nothing to call "updated"."""
    wanted = [label for label in existing if not label.startswith(settings.prefix)] + tags(result, settings.prefix)
    if set(wanted) == set(existing):
        return None
    return Request("POST", _url(result, account_id, settings), _headers(settings), json_body({"labels": wanted}))


def _url(result: Result, account_id: int, settings: ChatwootLabels) -> str:
    return f"{settings.url}/api/v1/accounts/{account_id}/conversations/{number_of(result)}/labels"


def _headers(settings: ChatwootLabels) -> Mapping[str, str]:
    return {"Content-Type": "application/json", "api_access_token": settings.token.get_secret_value()}
