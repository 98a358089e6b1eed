"""`docs/how-to/crm.md`: its files load, its templates produce tickets, and all examples are described."""

import json
import re
from pathlib import Path

import pytest

from tests.support.crm import EXAMPLES, FRESHDESK, SALESFORCE, ZENDESK, example, ticket
from triagem.producer.crm import CrmConfig, load_crm_file

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "crm.md").read_text(encoding="utf-8")
KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def load_page_file(folder: Path, toml: str) -> CrmConfig:
    """Load a file of the page, with its secrets in a test folder."""
    for name in re.findall(r"/run/secrets/(\w+)", toml):
        (folder / name).write_text(KEY)
    file = folder / "crm.toml"
    file.write_text(toml.replace("/run/secrets", str(folder)))
    return load_crm_file(file)


@pytest.mark.parametrize("toml", code_blocks("toml"), ids=lambda toml: toml.split("]", 1)[0].split("[")[-1])
def test_every_file_of_the_page_loads(tmp_path: Path, toml: str) -> None:
    assert load_page_file(tmp_path, toml).sources


def test_the_first_file_shows_every_adapter(tmp_path: Path) -> None:
    sources = load_page_file(tmp_path, code_blocks("toml")[0]).sources.values()

    assert len({type(source) for source in sources}) == len(list(sources)) == 4


def fill_in(template: str) -> str:
    """Fill in a template as the CRM does."""
    values = {"ticket.updated_at_with_timestamp": "2026-11-02T12:30:00Z", "current_user.role": "End-user"}
    return re.sub(r"\{\{([\w.]+)\}\}", lambda match: values.get(match[1], f"({match[1]})"), template)


def test_every_template_of_the_page_makes_a_ticket() -> None:
    trigger, created, replied = [fill_in(block) for block in code_blocks("json") if "{{" in block]

    fields = ticket(trigger.encode(), ZENDESK)
    assert fields["text"] == "(ticket.title)\n(ticket.latest_public_comment.value)"
    assert set(fields["metadata"]) == {"channel", "language", "url"}
    assert ticket(created.encode(), FRESHDESK)["text"] == "(ticket.subject)\n(ticket.description)"
    assert ticket(replied.encode(), FRESHDESK)["text"] == "(ticket.subject)\n(ticket.latest_public_comment)"


def test_salesforces_body_on_the_page_matches_its_field_map() -> None:
    (body,) = [block for block in code_blocks("json") if '"LastModifiedDate"' in block]

    assert set(json.loads(body)) <= set(example("salesforce_flow"))
    assert ticket(body.encode(), SALESFORCE)["metadata"] == {"channel": "Web", "language": "pt_BR"}


def test_every_example_is_described() -> None:
    described = set(re.findall(r"`(\w+\.json)`", (EXAMPLES / "README.md").read_text(encoding="utf-8")))

    assert described == {file.name for file in EXAMPLES.glob("*.json")}
