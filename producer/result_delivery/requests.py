"""Builds the requests that deliver a result to one target, step by step."""

from collections.abc import Collection, Generator
from datetime import datetime

from triagem.contracts.errors import InvalidInput
from triagem.outgoing import Request
from triagem.producer.crm import CrmConfig
from triagem.producer.crm.callback import callback_request
from triagem.producer.crm.chatwoot_labels import parse_labels, read_labels, write_labels
from triagem.producer.crm.result import CrmResult
from triagem.producer.crm.settings import CallbackSettings, ChatwootLabels, ChatwootSource, ZendeskTags
from triagem.producer.crm.zendesk_tags import tag_ticket


def delivery_requests(
    result: CrmResult, target: str, crm: CrmConfig, previous_labels: Collection[str], now: datetime
) -> Generator[Request, bytes, None]:
    """Yield the requests that deliver a result; each yield returns the response to that request.

    Args:
        target: the table of the CRM file that says how, such as `shop.callback`.
        previous_labels: labels that the ticket may have been given before.

    Raises:
        InvalidInput: the table does not exist, the ticket's id is not valid in this CRM, or a response cannot be
            read.
    """
    source = crm.sources.get(result.source)
    match getattr(source, target.rpartition(".")[2], None):
        case CallbackSettings() as settings:
            yield callback_request(result, settings, now)
        case ZendeskTags() as settings:
            for request in tag_ticket(result, settings, previous_labels):  # noqa: UP028 - a tuple has no send()
                yield request
        case ChatwootLabels() as settings if isinstance(source, ChatwootSource):
            labels = parse_labels((yield read_labels(result, source.account_id, settings)))
            if change := write_labels(result, labels, source.account_id, settings):
                yield change
        case _:
            raise InvalidInput(f"TRIAGEM_CRM_FILE has no table [{target}]")
