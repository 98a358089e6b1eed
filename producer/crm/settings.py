"""Models of the tables in `TRIAGEM_CRM_FILE`: sources, how their webhooks are verified, and where results go."""

from typing import Annotated, Self
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field, SecretStr, model_validator

from triagem.notify.crm import (
    CallbackSettings,
    ChatwootAccount,
    ChatwootLabels,
    CrmTarget,
    ZendeskTags,
)
from triagem.notify.settings_file import SettingsTable
from triagem.producer.crm.signature import CHATWOOT, ZENDESK, SignatureScheme


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"is not a JMESPath expression ({type(error).__name__})") from None
    return text


def _quoted(external_id: str) -> str:
    """An id for a link. It is not validated yet, so it may contain lone surrogates."""
    return quote(external_id, safe="", errors="replace")


_Expression = Annotated[str, AfterValidator(_expression)]
_SigningSecret = Annotated[SecretStr, Field(min_length=8)]
_Token = Annotated[SecretStr, Field(min_length=16, description="chosen by us: openssl rand -hex 32")]


class _BaseSource(SettingsTable):
    """Settings of every source: a name, a proof of the sender (`secret` or `token`), and optionally a callback."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="name of the table, part of the URL")
    secret: _SigningSecret | None = Field(default=None, description="the key that the CRM signs with")
    token: _Token | None = None
    callback: CallbackSettings | None = None

    @property
    def signature_scheme(self) -> SignatureScheme | None:
        """The signature scheme of this CRM; None if it does not sign."""
        return None

    @property
    def destinations(self) -> dict[str, CrmTarget]:
        """Settings of the targets of results, by table."""
        return {"callback": self.callback} if self.callback else {}

    @model_validator(mode="after")
    def _check_proof(self) -> Self:
        if (self.secret is None) == (self.token is None):
            raise ValueError("secret: give either secret (the CRM signs) or token (it cannot), or their _file")
        if self.secret is not None and self.signature_scheme is None:
            raise ValueError("secret: this CRM does not sign, give a token")
        return self


class ZendeskSource(_BaseSource):
    """A Zendesk account."""

    tags: ZendeskTags | None = None

    @property
    def signature_scheme(self) -> SignatureScheme:
        """Timestamp and body, in base64."""
        return ZENDESK

    @property
    def destinations(self) -> dict[str, CrmTarget]:
        """Also tags."""
        return super().destinations | ({"tags": self.tags} if self.tags else {})

    def link(self, external_id: str) -> str | None:
        """The URL at which an agent finds the ticket."""
        return None if self.tags is None else f"{self.tags.url}/agent/tickets/{_quoted(external_id)}"


class ChatwootSource(_BaseSource):
    """One Chatwoot account; every account numbers its conversations from 1."""

    account_id: int = Field(ge=1)
    labels: ChatwootLabels | None = None

    @property
    def signature_scheme(self) -> SignatureScheme:
        """Timestamp, dot and body, in hex; since Chatwoot 4.13."""
        return CHATWOOT

    @property
    def destinations(self) -> dict[str, CrmTarget]:
        """Also labels."""
        account = {"labels": ChatwootAccount(self.account_id, self.labels)} if self.labels else {}
        return super().destinations | account

    def link(self, external_id: str) -> str | None:
        """The URL at which an agent finds the conversation."""
        if self.labels is None:
            return None
        return f"{self.labels.url}/app/accounts/{self.account_id}/conversations/{_quoted(external_id)}"


class FreshdeskSource(_BaseSource):
    """A Freshdesk account. Freshdesk does not sign."""


class FieldExpressions(SettingsTable):
    """JMESPath expressions that select the fields of a ticket in a record; `text` may have several, subject first."""

    external_id: _Expression
    text: Annotated[list[_Expression], Field(min_length=1)]
    revised_at: _Expression | None = Field(default=None, description="default: the time of receipt")
    metadata: dict[str, _Expression] = Field(default_factory=dict)


class GenericSource(_BaseSource):
    """Any CRM that posts JSON."""

    records: _Expression = Field(default="@", description="the records in a body: a list, or one")
    fields: FieldExpressions
    signature: SignatureScheme = SignatureScheme(header="X-Triagem-Signature", prefix="sha256=")

    @property
    def signature_scheme(self) -> SignatureScheme:
        """The scheme in the table `signature`."""
        return self.signature

    @model_validator(mode="after")
    def _check_replay(self) -> Self:
        if self.secret is not None and self.signature.timestamp_header is None and self.fields.revised_at is None:
            raise ValueError(
                "fields.revised_at: is needed, because this signature covers no time: a recorded webhook could be "
                "sent again and replace a newer text. Or give signature.timestamp_header"
            )
        return self


Source = ZendeskSource | ChatwootSource | FreshdeskSource | GenericSource
