"""Models of the tables in `TRIAGEM_CRM_FILE`: sources, how their webhooks are verified and read, where results go.

A source with an adapter takes the fields that it does not set from the adapter's table in `presets.toml`.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from triagem.contracts.moments import DateOrder, MomentFormat, time_zone
from triagem.contracts.ticket import OnReply
from triagem.notify.crm import (
    CallbackSettings,
    ChatwootLabels,
    CrmTarget,
    FieldSettings,
    ZendeskTags,
)
from triagem.producer.crm.expressions import Expression
from triagem.producer.crm.signature import SignatureScheme
from triagem.settings_file import SettingsTable

GENERIC: Final = "generic"
# Tables of a source that say where its results go.
TARGET_TABLES: Final = ("callback", "field", "tags", "labels")
_MAX_SHOWN: Final = 100
_LITERALS: Final = re.compile(r"'[^']*'|`[^`]*`")
_PATHS: Final = re.compile(r"\b[A-Za-z_]\w*(?:\.\w+)*\b(?!\()")
_SigningSecret = Annotated[SecretStr, Field(min_length=8)]
_Token = Annotated[SecretStr, Field(min_length=16, description="chosen by us: openssl rand -hex 32")]


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """The tables of `presets.toml`, by adapter."""
    return tomllib.loads(files("triagem.producer.crm").joinpath("presets.toml").read_text(encoding="utf-8"))


class FieldExpressions(SettingsTable):
    """JMESPath expressions that select the fields of a ticket in a record."""

    external_id: Expression
    text: tuple[Expression, ...] = Field(default=(), description="subject first")
    message: Expression | None = Field(
        default=None, description="the message; if given, it must be text, and `text` is its subject"
    )
    revised_at: Expression | None = Field(
        default=None, description="when the text was written; default, and 'received': time of receipt"
    )
    timezone: Annotated[str, AfterValidator(lambda name: time_zone(name).key)] | None = Field(
        default=None, description="the zone of times without an offset"
    )
    date_order: DateOrder | None = Field(default=None, description="of dates such as 03/04/2026: `dmy` or `mdy`")
    message_id: Expression | None = Field(
        default=None, description="id of the message; null: a whole text; 'digest': computed from the text"
    )
    author: Expression | None = Field(
        default=None, description="author of a message: customer (default), agent or bot"
    )
    deleted: Expression | None = Field(default=None, description="true: the message was deleted")
    metadata: dict[str, Expression] = Field(default_factory=dict)

    @property
    def moments(self) -> MomentFormat:
        """The form of the CRM's times."""
        return MomentFormat(time_zone(self.timezone) if self.timezone else None, self.date_order)

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        if not self.text and self.message is None:
            raise ValueError("text: give the expressions of the text, such as text = ['title', 'body']")
        if self.message_id is None and (self.author or self.deleted):
            raise ValueError("message_id: is needed for author and deleted, which are about one message")
        return self


class VerdictExpressions(SettingsTable):
    """JMESPath expressions that select a person's change of the tag, label or field that shows a ticket's label."""

    records: Expression = Field(default="@", description="the records in a body that show a person's change")
    external_id: Expression
    value: Expression = Field(description="the field's new value, or a list of tags")
    actor: Expression | None = Field(default=None, description="the id of the user who made the change")
    changed_at: Expression | None = Field(default=None, description="default: the time of receipt")
    bots: tuple[str, ...] = Field(
        default=(), description="ids of users that are not people, such as integrations and Triagem's own"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="labels by value, such as { N1 = 'suporte' }")


class Rule(SettingsTable):
    """A rule for records, and payloads without records: why they match if `when` is true. `{event}` is filled in."""

    when: Expression
    reason: str = Field(min_length=1, max_length=150)


class Challenge(SettingsTable):
    """The header or the field of a CRM's test request whose value it expects back as `{"challenge": …}`."""

    header: str | None = None
    field: Expression | None = None


class Source(SettingsTable):
    """A source: a proof of the sender (`secret` or `token`), how its JSON is read, and where its results go."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="name of the table, part of the URL")
    adapter: str = GENERIC
    secret: _SigningSecret | None = Field(default=None, description="the key with which the CRM signs")
    token: _Token | None = None
    signature: SignatureScheme | None = None
    challenge: Challenge = Challenge()
    event: Expression | None = Field(default=None, description="the name of a payload's event, for reasons")
    records: Expression = Field(default="@", description="the records in a body: a list, or a single record")
    ignore: tuple[Rule, ...] = Field(default=(), description="what is not a customer's message")
    unreadable: tuple[Rule, ...] = Field(default=(), description="what becomes a dead letter")
    fields: FieldExpressions
    verdict: VerdictExpressions | None = Field(default=None, description="people's corrections of labels")
    on_reply: OnReply = Field(default=OnReply.CONVERSATION, description="the messages that the label is about")
    ticket_url: str | None = Field(
        default=None, pattern=r"^https?://.*\{id\}", description="page of a ticket in the CRM, with `{id}`"
    )
    callback: CallbackSettings | None = None
    field: FieldSettings | None = None

    # For an adapter that sets tags: their default prefix, and the path of a ticket's page below the CRM's URL.
    default_prefix: ClassVar = ""
    ticket_page: ClassVar = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, table: Any) -> Any:
        """Fill the fields that the table does not set from the adapter's preset, with the account's id."""
        preset = json.dumps(presets().get(table.get("adapter", GENERIC), {"signature": _GENERIC_SIGNATURE}))
        account_id = table.get("account_id")
        preset = json.loads(preset.replace("{account_id}", str(account_id if isinstance(account_id, int) else 0)))
        tables = {"field": preset.pop("field", None), "labels": preset.pop("labels", None)}
        tables["verdict"] = preset.get("verdict")
        for name, fields in tables.items():  # `field` and `labels` only send results if the source says where
            if fields and isinstance(table.get(name), dict):
                table = {**table, name: {**fields, **table[name]}}
        return {**preset, **table}

    @model_validator(mode="after")
    def _check_proof(self) -> Self:
        if self.secret is not None and self.token is not None:
            raise ValueError("secret: give secret or token, not both")
        if self.secret is None and self.token is None:
            raise ValueError("secret: is missing; give secret (the CRM signs) or token (it cannot), or their _file")
        if self.secret is None:
            return self
        if self.signature is None:
            raise ValueError("secret: this CRM does not sign, give a token")
        try:
            self.signature.key(self.secret.get_secret_value())
        except ValueError:
            raise ValueError("secret: is not base64, which signature.key_encoding requires") from None
        if not self.signature.covers_time and self.fields.revised_at is None:
            raise ValueError(
                "fields.revised_at: is needed, because this signature covers no time, so a recorded webhook could be "
                "sent again and replace a newer text. Or give signature.timestamp_header"
            )
        return self

    @property
    def destinations(self) -> dict[str, CrmTarget]:
        """Settings of the targets of results, by table."""
        targets = {table: getattr(self, table, None) for table in TARGET_TABLES}
        return {table: target for table, target in targets.items() if target is not None}

    @property
    def tags_of_results(self) -> ZendeskTags | ChatwootLabels | None:
        """The target that sets tags, or labels of a conversation."""
        return getattr(self, "tags", None) or getattr(self, "labels", None)

    @property
    def tag_prefix(self) -> str:
        """The prefix of tags that show a label; empty for a field."""
        return self.tags_of_results.prefix if self.tags_of_results else self.default_prefix

    def described(self, field: str) -> str:
        """A field of the ticket and its expression, as text for a reason: `external_id = detail.id`.

        A long expression is replaced by the paths that it reads.
        """
        value = getattr(self.fields, field)
        expression = " ".join((value if isinstance(value, str) else ", ".join(value)).split())
        if len(expression) > _MAX_SHOWN:
            expression = ", ".join(dict.fromkeys(_PATHS.findall(_LITERALS.sub("", expression))))
        return f"{field} = {expression}" if len(expression) <= _MAX_SHOWN else field

    def link(self, external_id: str) -> str | None:
        """The URL at which an agent finds the ticket, if it is known."""
        url, tagged = self.ticket_url, self.tags_of_results
        if url is None and tagged is not None:
            url = tagged.url + self.ticket_page.replace("{account_id}", str(getattr(self, "account_id", "")))
        # The id is not validated yet, so it may contain lone surrogates.
        return url and url.replace("{id}", quote(external_id, safe="", errors="replace"))


class ZendeskSource(Source):
    """A Zendesk account."""

    default_prefix: ClassVar = "triagem-"
    ticket_page: ClassVar = "/agent/tickets/{id}"

    tags: ZendeskTags | None = None


class ChatwootSource(Source):
    """One Chatwoot account; every account numbers its conversations from 1."""

    default_prefix: ClassVar = "triagem-"
    ticket_page: ClassVar = "/app/accounts/{account_id}/conversations/{id}"

    account_id: int = Field(ge=1)
    labels: ChatwootLabels | None = None


_GENERIC_SIGNATURE: Final = {"header": "X-Triagem-Signature", "prefix": "sha256="}
_CLASSES: Final[Mapping[str, type[Source]]] = {"zendesk": ZendeskSource, "chatwoot": ChatwootSource}


def make_source(name: str, table: Mapping[str, Any]) -> Source:
    """The source of a table. Raises pydantic's ValidationError."""
    adapter = table.get("adapter", name)
    return _CLASSES.get(adapter, Source).model_validate({**table, "adapter": adapter, "name": name})
