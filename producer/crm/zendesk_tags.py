"""Results to Zendesk: tags, through its API.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds and keeps the others (POST
would replace them), DELETE takes off. Neither works on closed tickets.
"""

import base64
from collections.abc import Collection, Mapping

from triagem.contracts.prediction import Band
from triagem.outgoing import Request
from triagem.producer.crm.result import Result, json_body, number_of, tag, tags
from triagem.producer.crm.settings import ZendeskTags


def tag_ticket(result: Result, settings: ZendeskTags, former: Collection[str] = ()) -> tuple[Request, ...]:
    """The requests that tag a ticket: one that adds and, if it was labelled before, one that takes off.

    Args:
        former: labels that this ticket was ever given; those that no longer hold are taken off, with the bands.

    Raises:
        InvalidInput: the ticket's id is no number.
    """
    url = f"{settings.url}/api/v2/tickets/{number_of(result)}/tags"
    now = tags(result, settings.prefix)
    bands = (Band.REVIEW, Band.ABSTAIN) if former else ()
    ours = {tag(label, settings.prefix) for label in former} | {settings.prefix + band.value for band in bands}
    gone = sorted(ours.difference(now))
    add = Request("PUT", url, _headers(settings), json_body({"tags": now}))
    return (add, Request("DELETE", url, _headers(settings), json_body({"tags": gone}))) if gone else (add,)


def _headers(settings: ZendeskTags) -> Mapping[str, str]:
    login = f"{settings.user}/token:{settings.token.get_secret_value()}".encode()
    return {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(login).decode()}"}
