"""Fixtures of all tests: one local stack and one small BERT per run, emptied between tests, not recreated."""

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import settings
from redis import Redis
from typer import Typer

from bench.__main__ import bench as benchmarks
from tests.faults.model_versions import two_versions
from tests.support.command import CommandResult, Triagem
from tests.support.small_bert import register_small_bert, tiny_unigram_base
from triagem.cli import output
from triagem.cli.main import run
from triagem.db import Database
from triagem.db.schema import TRUNCATE_ALL
from triagem.db.upgrade import upgrade
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.stack import Endpoints, LocalStack, ensure_reader_login, ensure_writer_login

# No deadline: a slow test on a busy machine must not fail. Derandomized: repeated runs get the same inputs.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("random", deadline=None, max_examples=1000)  # `make test-slow`
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for _name in [name for name in os.environ if name.startswith("TRIAGEM_")]:
    del os.environ[_name]  # a developer's own settings must not affect a test


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running, migrated local stack. Without fsync, because no test covers power loss."""
    local = LocalStack(tmp_path_factory.mktemp("stack") / ".triagem", fsync=False)
    endpoints = local.start()
    try:
        with Database(endpoints.database_url) as database:
            upgrade(database)
        ensure_reader_login(endpoints.database_url, endpoints.reader_password)
        ensure_writer_login(endpoints.database_url, endpoints.writer_password)
        yield local
    finally:
        local.erase()


@pytest.fixture
def endpoints(stack: LocalStack) -> Endpoints:
    """The stack's endpoints, with both servers emptied."""
    with psycopg.connect(stack.endpoints.database_url, autocommit=True) as connection:
        connection.execute(str(TRUNCATE_ALL).encode())
    connect(stack.endpoints.redis_url).flushall()
    return stack.endpoints


@pytest.fixture
def database(endpoints: Endpoints) -> Iterator[Database]:
    """An empty, migrated database."""
    with Database(endpoints.database_url) as opened:
        yield opened


@pytest.fixture
def redis(endpoints: Endpoints) -> Redis:
    """An empty real Redis."""
    return connect(endpoints.redis_url)


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    """The inbox on the real Redis, with its groups."""
    inbox = Inbox(redis, InboxSettings(lease_s=1.0))
    inbox.create_groups()
    return inbox


@pytest.fixture(scope="session")
def instant_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with v1.0.0 (current) and v1.1.0 for the engines of `tests.support.engines`."""
    return two_versions(tmp_path_factory.mktemp("instant") / "models").root


@pytest.fixture(scope="session")
def bert_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose current v1.0.0 is a real small BERT with a seeded, untrained head. Tests use it to check
    how a model is run, not what it learned."""
    return register_small_bert(tmp_path_factory.mktemp("bert") / "models").root


@pytest.fixture(scope="session")
def unigram_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as `bert_models`, but with the base e5's tokenizer and a smaller network."""
    folder = tmp_path_factory.mktemp("unigram")
    return register_small_bert(folder / "models", tiny_unigram_base(folder)).root


@pytest.fixture(scope="session")
def mean_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as `bert_models`, but with a classifier on the mean of the tokens."""
    return register_small_bert(tmp_path_factory.mktemp("mean") / "models", pooling="mean").root


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Triagem]:
    """The command in an empty folder, without any setting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for console in (output.console, output.errors):  # created while the environment had another width
        monkeypatch.setattr(console, "_width", None)
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level

    def call(*arguments: str, command: Typer | None = None) -> CommandResult:
        capfd.readouterr()
        status = 0
        try:
            run(list(arguments), command=command)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return CommandResult(status, *capfd.readouterr())

    yield call
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def bench(bare: Triagem) -> Triagem:
    """`python -m bench` in an empty folder, without any setting."""
    return partial(bare, command=benchmarks)


@pytest.fixture
def triagem(bare: Triagem, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, instant_models: Path) -> Triagem:
    """The command with the shared stack."""
    monkeypatch.setenv("TRIAGEM_REDIS_URL", endpoints.redis_url)
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", endpoints.database_url)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(instant_models))
    return bare
