"""Builds the requests that tag a Zendesk ticket with a result.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds and keeps the others (POST
would replace them), DELETE removes. Neither works on closed tickets.
"""

import base64
from collections.abc import Collection, Mapping

from triagem.contracts.prediction import Band
from triagem.outgoing import Request
from triagem.producer.crm.result import CrmResult, json_body, label_tag, numeric_id, result_tags
from triagem.producer.crm.settings import ZendeskTags


def tag_ticket(
    result: CrmResult, settings: ZendeskTags, previous_labels: Collection[str] = ()
) -> tuple[Request, ...]:
    """The requests that tag a ticket: one that adds and, if it was labelled before, one that removes.

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
    add = Request("PUT", url, _headers(settings), json_body({"tags": current}))
    return (add, Request("DELETE", url, _headers(settings), json_body({"tags": outdated}))) if outdated else (add,)


def _headers(settings: ZendeskTags) -> Mapping[str, str]:
    login = f"{settings.user}/token:{settings.token.get_secret_value()}".encode()
    return {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(login).decode()}"}
