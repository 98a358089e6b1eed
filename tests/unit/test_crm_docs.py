"""The pages on CRMs: their files load, their templates produce tickets, and all examples are described."""

import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.crm import EXAMPLES, FRESHDESK, SALESFORCE, TOKEN, ZENDESK, example, ticket, unmatched, unreadable
from triagem.producer.crm import CrmConfig, Source, Webhook, load_crm_file, read_verdicts

ROOT = Path(__file__).parents[2]
REFERENCE, GUIDE = (ROOT / "docs" / page for page in ("reference/crm-file.md", "how-to/crm.md"))
KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def code_blocks(language: str) -> list[str]:
    text = REFERENCE.read_text(encoding="utf-8") + GUIDE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def load_page_file(folder: Path, toml: str) -> CrmConfig:
    """Load a file of the page, with its secrets in a test folder."""
    for name in re.findall(r"/run/secrets/(\w+)", toml):
        (folder / name).write_text(KEY)
    file = folder / "crm.toml"
    file.write_text(toml.replace("/run/secrets", str(folder)))
    return load_crm_file(file)


def page_source(folder: Path, name: str) -> Source:
    """A source whose table begins a block of a page, with the token that `tests.support.crm` sends."""
    (toml,) = [block for block in code_blocks("toml") if block.startswith(f"[{name}]")]
    return load_page_file(folder, toml).sources[name].model_copy(update={"token": SecretStr(TOKEN)})


@pytest.mark.parametrize("toml", code_blocks("toml"), ids=lambda toml: toml.split("]", 1)[0].split("[")[-1])
def test_every_file_of_the_page_loads(tmp_path: Path, toml: str) -> None:
    assert load_page_file(tmp_path, toml).sources


def test_the_first_file_shows_every_adapter(tmp_path: Path) -> None:
    sources = load_page_file(tmp_path, code_blocks("toml")[0]).sources.values()

    assert len({source.adapter for source in sources}) == len(list(sources)) == 4


def fill_in(template: str) -> str:
    """Fill in a template as the CRM does."""
    values = {"ticket.updated_at_with_timestamp": "2026-11-02T12:30:00Z", "current_user.role": "End-user"}
    return re.sub(r"\{\{([\w.]+)\}\}", lambda match: values.get(match[1], f"({match[1]})"), template)


def test_every_template_of_the_page_makes_a_ticket() -> None:
    trigger, created, replied, corrected = [fill_in(block) for block in code_blocks("json") if "{{" in block]

    fields = ticket(trigger.encode(), ZENDESK)
    assert fields["text"] == "(ticket.title)\n(ticket.latest_public_comment.value)"
    assert set(fields["metadata"]) == {"channel", "language", "url"}
    assert ticket(created.encode(), FRESHDESK)["text"] == "(ticket.subject)\n(ticket.description)"
    assert ticket(replied.encode(), FRESHDESK)["text"] == "(ticket.latest_public_comment)"
    assert [verdict.values for verdict in read_verdicts(Webhook(corrected.encode()), FRESHDESK)] == [
        ("(ticket.cf_triagem)",)
    ]


def test_salesforces_body_on_the_page_matches_its_field_map() -> None:
    (body,) = [block for block in code_blocks("json") if '"LastModifiedDate"' in block]

    assert set(json.loads(body)) <= set(example("salesforce_flow"))
    assert ticket(body.encode(), SALESFORCE)["metadata"] == {"channel": "Web", "language": "pt_BR"}


@pytest.mark.parametrize(
    ("source", "example_name", "text"),
    [
        ("rdstation", "rdstation_conversion", "Quero contratar o plano anual para 12 pessoas. Vocês dão desconto?"),
        ("rdcrm", "rdstation_deal", "Plano anual\nQuanto custa para 12 pessoas?"),
    ],
)
def test_rd_stations_field_maps_read_its_examples(tmp_path: Path, source: str, example_name: str, text: str) -> None:
    assert ticket(example(example_name), page_source(tmp_path, source))["text"] == text


def test_a_case_whose_message_has_another_name_is_a_dead_letter(tmp_path: Path) -> None:
    body = example("salesforce_flow")
    body["Descricao"] = body.pop("Description")

    reason = unreadable(body, page_source(tmp_path, "salesforce"))
    assert reason == "message = Description: is missing or not text"


def test_a_conversion_without_a_message_is_not_a_ticket(tmp_path: Path) -> None:
    body = example("rdstation_conversion")
    del body["contact"]["cf_mensagem"]

    assert unmatched(body, page_source(tmp_path, "rdstation")) == "`records` selects no record"


def test_every_example_is_described() -> None:
    described = set(re.findall(r"`(\w+\.json)`", (EXAMPLES / "README.md").read_text(encoding="utf-8")))

    assert described == {file.name for file in EXAMPLES.glob("*.json")}
