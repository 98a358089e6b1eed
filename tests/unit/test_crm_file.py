"""The file TRIAGEM_CRM_FILE: its allowed content. A mistake is reported in one line without a secret."""

from pathlib import Path

import pytest

from tests.support.crm import SECRET, TOKEN
from triagem.contracts.errors import InvalidInput
from triagem.producer.crm import CrmConfig, CrmSettings, load_crm_file
from triagem.producer.crm.settings import ChatwootSource, ZendeskSource

LOGIN = f'user = "bot@acme.example.com", token = "{TOKEN}"'
FIELDS = 'fields = { external_id = "a", text = ["b"] }'
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def load_content(folder: Path, content: str) -> CrmConfig:
    file = folder / "crm.toml"
    file.write_text(content, encoding="utf-8")
    return load_crm_file(file)


def error_message(folder: Path, content: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_content(folder, content)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    assert TOKEN not in message
    return message.removeprefix(f"{folder / 'crm.toml'} ")


def test_each_table_is_a_source_and_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "signing").write_text(f"{SECRET}\n")
    crm = load_content(
        tmp_path,
        f"""
        allowed_hosts = ["acme.zendesk.com", "hooks.example.com"]

        [zendesk]
        secret_file = "signing"
        tags = {{ url = "https://acme.zendesk.com/", user = "bot@acme.example.com", token = "{TOKEN}" }}

        [support-br]
        adapter = "chatwoot"
        token = "{TOKEN}"
        account_id = 3
        callback = {{ url = "https://hooks.example.com/triagem?flow=7", secret = "{KEY}" }}

        [salesforce]
        adapter = "generic"
        token = "{TOKEN}"
        fields = {{ external_id = "Id", text = ["Subject", "Description"], metadata = {{ channel = "Origin" }} }}
        """,
    )

    zendesk, chatwoot, generic = crm.sources.values()
    assert isinstance(zendesk, ZendeskSource)
    assert zendesk.name == "zendesk"
    assert zendesk.secret is not None
    assert zendesk.secret.get_secret_value() == SECRET
    assert zendesk.tags is not None
    assert zendesk.tags.url == "https://acme.zendesk.com"
    assert isinstance(chatwoot, ChatwootSource)
    assert (chatwoot.name, chatwoot.account_id) == ("support-br", 3)
    assert generic.adapter == "generic"
    assert generic.fields.metadata == {"channel": "Origin"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[zendesk]", "[zendesk] secret: is missing; give secret"),
        (f'[zendesk]\nsecret = "{SECRET}"\ntoken = "{TOKEN}"', "[zendesk] secret: give secret or token, not both"),
        (f'[freshdesk]\nsecret = "{SECRET}"', "[freshdesk] secret: this CRM does not sign"),
        ('[freshdesk]\ntoken = "short"', "[freshdesk] token: must have at least 16 characters"),
        (
            f'[shop]\nadapter = "generic"\ntoken = "{TOKEN}"\nfields = {{ external_id = "id", text = "body" }}',
            "[shop] fields.text: must be a list, in brackets",
        ),
        ('[zendesk]\nsecret = ""', "[zendesk] secret: must have at least 8 characters"),
        ('[zendesk]\nsecret_file = "absent"', "[zendesk] secret_file: cannot read "),
        (f'[zendesk]\nsecret = "{SECRET}"\nsecret_file = "x"', "[zendesk] secret_file: give secret or secret_file"),
        (f'[chatwoot]\nsecret = "{SECRET}"', "[chatwoot] account_id: is missing"),
        (
            f'[chatwoot]\nsecret = "{SECRET}"\naccount = 1\naccountid = 1',
            "[chatwoot] account: is not a known field: did you mean account_id?",
        ),
        (
            f'[zendesk]\nsecret = "{SECRET}"\nallowed_hosts = ["acme.zendesk.com"]',
            "[zendesk] allowed_hosts: move this line above the first table",
        ),
        (f'[zendesk]\nsecret = "{SECRET}"\ncolour = "red"', "[zendesk] colour: is not a known field"),
        (f'[zendesk]\nsecrt = "{SECRET}"', "[zendesk] secrt: is not a known field: did you mean secret?"),
        (
            (
                f'[freshdesk]\ntoken = "{TOKEN}"\nfield = {{ url = "https://a.b", token = "{TOKEN}", '
                'path = "/{externalid}", body = {} }'
            ),
            "[freshdesk] field.path: {externalid} is not one of band",
        ),
        (f'[zendesk]\nname = "other"\nsecret = "{SECRET}"', "[zendesk] name: remove it"),
        (
            f'[shop]\ntoken = "{TOKEN}"',
            "[shop] adapter: expected one of zendesk, chatwoot, freshdesk, zammad, intercom, helpscout, front, g",
        ),
        (f'["a/b"]\nadapter = "freshdesk"\ntoken = "{TOKEN}"', "[a/b] name: must match the pattern"),
        (
            f'[generic]\nsecret = "{SECRET}"\nsignature = {{ header = "X", separator = "|" }}\n{FIELDS}',
            "[generic] signature.separator: must be one of ',', ';' or ' '",
        ),
        ('zendesk = "yes"', "zendesk: expected a table"),
        ("allowed_hosts = 5", "allowed_hosts: expected a list"),
        ("[zendesk", "is not valid TOML"),
        (
            f'[generic]\ntoken = "{TOKEN}"\nfields = {{ external_id = "a[", text = ["b"] }}',
            "[generic] fields.external_id: is not a JMESPath expression",
        ),
        (
            f'[generic]\ntoken = "{TOKEN}"\nrecords = "[?matches(kind, \'[\')]"\n{FIELDS}',
            "[generic] records: '[' is not a regular expression: unterminated character set",
        ),
        (
            f'[generic]\nsecret = "{SECRET}"\nsignature = {{ header = "X", signed = "x" }}\n{FIELDS}',
            "[generic] signature: signed: {body} is missing",
        ),
        (
            f'[shop]\nadapter = "generic"\nsecret = "{SECRET}"\nfields = {{ external_id = "id", text = ["b"] }}',
            "[shop] fields.revised_at: is needed, because this signature covers no time",
        ),
        (
            f'[freshdesk]\ntoken = "{TOKEN}"\ncallback = {{ url = "https://hooks.example.com", secret = "weak" }}',
            "[freshdesk] callback.secret: is not a base64 key of at least 24 bytes",
        ),
        (
            f'[freshdesk]\ntoken = "{TOKEN}"\ncallback = {{ url = "https://hooks.example.com", secret = "{KEY}" }}',
            "[freshdesk.callback] url: the host is not in allowed_hosts",
        ),
        (
            f'[zendesk]\nsecret = "{SECRET}"\ntags = {{ url = "ftp://acme", {LOGIN} }}',
            "[zendesk] tags.url: must match the pattern",
        ),
        (
            f'[zendesk]\nsecret = "{SECRET}"\ntags = {{ url = "https://a.zendesk.com", prefix = "", {LOGIN} }}',
            "[zendesk] tags.prefix: must match the pattern",
        ),
    ],
)
def test_a_mistake_is_named_by_table_and_field(tmp_path: Path, content: str, expected: str) -> None:
    assert error_message(tmp_path, content).startswith(expected)


def test_the_error_for_an_unknown_crm_names_the_generic_adapter(tmp_path: Path) -> None:
    assert error_message(tmp_path, f'[atendo]\nsecret = "{SECRET}"').endswith('set adapter = "generic"')


def test_the_error_for_a_secret_file_names_the_path(tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in error_message(tmp_path, '[zendesk]\nsecret_file = "absent"')


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        load_crm_file(tmp_path / "absent.toml")


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    assert TOKEN not in repr(load_content(tmp_path, f'[freshdesk]\ntoken = "{TOKEN}"'))


def test_the_environment_says_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_CRM_FILE", "/etc/triagem/crm.toml")

    assert CrmSettings().crm_file == Path("/etc/triagem/crm.toml")
