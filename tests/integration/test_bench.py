"""`python -m bench` runs and reports its figures; no test checks a speed."""

import json
from pathlib import Path

import pytest

from tests.support.command import Triagem


@pytest.fixture(autouse=True)
def no_optional_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.baselines.find_spec", lambda _: None)


def test_the_engine_is_compared_with_the_hf_pipeline_and_absent_baselines_are_named(
    bench: Triagem, unigram_models: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text("".join(json.dumps({"prompt": f"minha internet caiu {n}"}) + "\n" for n in range(6)), "utf-8")
    model = str(unigram_models / "v1.0.0")
    answer = bench("engine", "--model", model, "--corpus", str(corpus), "--rounds", "1", "--json",
                  "--device", "cpu", "--spec-table")  # fmt: skip
    report = json.loads(answer.out)
    rates = {row["name"]: row["rate"] for row in report["rows"]}

    assert answer.status == 0
    assert report["texts"] == 6
    assert report["ratio_vs_hf_pipeline"] > 0
    assert report["share_of_matmul_peak"] > 0
    assert 0 <= report["label_agreement"] <= 1
    assert rates["HF pipeline(32)"]["median"] > 0
    assert rates["OpenVINO bf16, sorted"] is None
    assert [row["configuration"] for row in report["spec_table"]] == ["CPU (single)"] * 2 + ["CPU (batch 32)"] * 2


def test_a_corpus_without_texts_is_a_user_error(bench: Triagem, unigram_models: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "empty.jsonl"
    corpus.write_text('{"other": 1}\n', "utf-8")
    answer = bench("engine", "--model", str(unigram_models / "v1.0.0"), "--corpus", str(corpus))
    assert answer.status == 1
    assert "prompt" in answer.err


@pytest.mark.slow
def test_the_pipeline_is_measured_on_its_own_servers(bench: Triagem, bert_models: Path) -> None:
    model = str(bert_models / "v1.0.0")
    answer = bench("pipe", "--model", model, "--tickets", "2000", "--rounds", "1", "--json")
    report = json.loads(answer.out)

    assert answer.status == 0
    assert report["noop_engine_per_s"]["median"] > 0
    assert min(report["noop_cpu_us"][stage] for stage in ("worker", "Redis", "language", "store")) > 0
    assert report["share_of_engine"] > 0
    assert report["one_thread_share_of_engine"] > 0
    assert report["idle_ms"]["runs"] == 50


@pytest.mark.slow
def test_the_cost_of_scraping_is_measured(bench: Triagem) -> None:
    answer = bench("metrics", "--tickets", "2000", "--rounds", "1", "--json")
    report = json.loads(answer.out)

    assert answer.status == 0
    assert report["scrapes_per_s"] > 0
    assert report["page_bytes"] > 1000


@pytest.mark.slow
def test_the_store_is_measured_empty_and_full_with_its_plans(bench: Triagem) -> None:
    answer = bench("store", "--rows", "10000", "--json")
    report = json.loads(answer.out)

    assert answer.status == 0
    assert [step["rows"] for step in report["steps"]] == [0, 1000, 10000]
    assert any("ix_tickets_newest" in line for line in report["plans"]["a page of results"])


@pytest.mark.slow
def test_the_gateway_answers_every_request_of_the_measured_loads(bench: Triagem) -> None:
    answer = bench("gateway", "--seconds", "1", "--rounds", "1", "--json")
    rows = json.loads(answer.out)["rows"]

    assert answer.status == 0
    assert [row["failed"] for row in rows] == [0] * 5
    assert all(row["tickets_per_s"] > 0 for row in rows[1:])


def test_the_cost_of_a_ticket_in_redis_is_measured_on_its_own_server(bench: Triagem) -> None:
    report = json.loads(bench("lane", "--seconds", "0.1", "--json").out)
    assert report["cpu_us"] > 0
    assert 50 < report["bytes"] < 5_000


@pytest.mark.slow
def test_every_page_of_the_console_is_measured(bench: Triagem) -> None:
    answer = bench("console", "--tickets", "5000", "--json")
    pages = json.loads(answer.out)["pages"]

    assert answer.status == 0
    assert {page["page"] for page in pages} >= {"overview", "tickets", "a ticket", "review", "models", "operations"}
    assert all(page["bytes"] > 1000 for page in pages)
