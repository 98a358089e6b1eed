"""What is said to a target, request by request. A generator: it is sent the answer to each before it goes on."""

from collections.abc import Collection, Generator
from datetime import datetime

from triagem.contracts.errors import InvalidInput
from triagem.outgoing import Request
from triagem.producer.crm import Crm
from triagem.producer.crm.callback import callback
from triagem.producer.crm.chatwoot_labels import labels_in, read_labels, write_labels
from triagem.producer.crm.result import Result
from triagem.producer.crm.settings import Callback, ChatwootLabels, ChatwootSource, ZendeskTags
from triagem.producer.crm.zendesk_tags import tag_ticket


def requests(
    result: Result, target: str, crm: Crm, former: Collection[str], now: datetime
) -> Generator[Request, bytes, None]:
    """The requests that tell a result.

    Args:
        target: the table of the CRM file that says how, as `shop.callback`.
        former: labels that the ticket may have been given before.

    Raises:
        InvalidInput: there is no such table, or the ticket's id is none of this CRM's, or an answer is no answer.
    """
    source = crm.sources.get(result.source)
    match getattr(source, target.rpartition(".")[2], None):
        case Callback() as settings:
            yield callback(result, settings, now)
        case ZendeskTags() as settings:
            for request in tag_ticket(result, settings, former):  # noqa: UP028 - a tuple takes no answers
                yield request
        case ChatwootLabels() as settings if isinstance(source, ChatwootSource):
            labels = labels_in((yield read_labels(result, source.account_id, settings)))
            if change := write_labels(result, labels, source.account_id, settings):
                yield change
        case _:
            raise InvalidInput(f"TRIAGEM_CRM_FILE has no table [{target}]")
