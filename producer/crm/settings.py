"""The tables of `TRIAGEM_CRM_FILE`: which CRMs send us webhooks, how they prove who they are, what goes back."""

from typing import Annotated, Self
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from triagem.outgoing.standard import SigningKey
from triagem.producer.crm.signature import CHATWOOT, ZENDESK, Signature


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"is no JMESPath ({type(error).__name__})") from None
    return text


def _quoted(external_id: str) -> str:
    """An id for a link. It is not yet a ticket's: it may hold what UTF-8 has no bytes for."""
    return quote(external_id, safe="", errors="replace")


_Expression = Annotated[str, AfterValidator(_expression)]
_Site = Annotated[str, Field(pattern=r"^https?://[^?#]+$"), AfterValidator(lambda url: url.rstrip("/"))]
_Prefix = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]+$", description="tags that begin so are ours")]
_SigningSecret = Annotated[SecretStr, Field(min_length=8)]
_Token = Annotated[SecretStr, Field(min_length=16, description="ours to choose: openssl rand -hex 32")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Callback(_Table):
    """Where results of this source are sent to, signed as Standard Webhooks are."""

    url: str
    secret: SigningKey


class ZendeskTags(_Table):
    """The account through which tickets are tagged."""

    url: _Site = Field(description="https://SUBDOMAIN.zendesk.com")
    user: str = Field(min_length=3, description="the e-mail address that the API token belongs to")
    token: Annotated[SecretStr, Field(min_length=8)]
    prefix: _Prefix = "triagem-"


class ChatwootLabels(_Table):
    """The account through which conversations are labelled."""

    url: _Site = Field(description="https://app.chatwoot.com, or your own")
    token: Annotated[SecretStr, Field(min_length=8)]
    prefix: _Prefix = "triagem-"


class _Base(_Table):
    """What every source has: a name, a proof of who sends (`secret` or `token`), and perhaps a callback."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="the table's; stands in the address")
    secret: _SigningSecret | None = Field(default=None, description="the CRM's own, with which it signs")
    token: _Token | None = None
    callback: Callback | None = None

    @property
    def scheme(self) -> Signature | None:
        """How this CRM signs; None if it does not."""
        return None

    @model_validator(mode="after")
    def _check_proof(self) -> Self:
        if (self.secret is None) == (self.token is None):
            raise ValueError("secret: give either secret (the CRM signs) or token (it cannot), or their _file")
        if self.secret is not None and self.scheme is None:
            raise ValueError("secret: this CRM signs nothing, give a token")
        return self


class ZendeskSource(_Base):
    """A Zendesk account."""

    tags: ZendeskTags | None = None

    @property
    def scheme(self) -> Signature:
        """Timestamp and body, in base64."""
        return ZENDESK

    def link(self, external_id: str) -> str | None:
        """Where an agent finds the ticket."""
        return None if self.tags is None else f"{self.tags.url}/agent/tickets/{_quoted(external_id)}"


class ChatwootSource(_Base):
    """One account of a Chatwoot: every account counts its conversations from 1."""

    account_id: int = Field(ge=1)
    labels: ChatwootLabels | None = None

    @property
    def scheme(self) -> Signature:
        """Timestamp, dot and body, in hex; since Chatwoot 4.13."""
        return CHATWOOT

    def link(self, external_id: str) -> str | None:
        """Where an agent finds the conversation."""
        if self.labels is None:
            return None
        return f"{self.labels.url}/app/accounts/{self.account_id}/conversations/{_quoted(external_id)}"


class FreshdeskSource(_Base):
    """A Freshdesk account. It signs nothing."""


class Fields(_Table):
    """Where in a record a ticket's fields lie: JMESPath each; `text` may have several, subject first."""

    external_id: _Expression
    text: Annotated[list[_Expression], Field(min_length=1)]
    revised_at: _Expression | None = Field(default=None, description="without one, a message counts from its receipt")
    metadata: dict[str, _Expression] = {}


class GenericSource(_Base):
    """Anything that posts JSON."""

    records: _Expression = Field(default="@", description="the records in a body: a list, or one")
    fields: Fields
    signature: Signature = Signature(header="X-Triagem-Signature", prefix="sha256=")

    @property
    def scheme(self) -> Signature:
        """As the table `signature` says."""
        return self.signature


Source = ZendeskSource | ChatwootSource | FreshdeskSource | GenericSource
