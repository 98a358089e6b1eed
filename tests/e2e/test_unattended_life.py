"""A life without a person at a terminal: first labels, a CRM whose agents correct, a retraining, and five kills."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import pytest

from tests.support.console import Browser
from tests.support.crm import SECRET, signature
from tests.support.delivery import KEY, verified_data
from tests.support.receiver import Receiver
from tests.support.training import tiny_base
from tests.support.up import Up, started
from tests.support.waiting import until

LABELS: Final = ("suporte", "venda")
# The first texts use other words than the tickets, so the first version is often wrong about the tickets.
FIRST: Final = {"suporte": "defeito", "venda": "proposta"}
LATER: Final = {"suporte": "suporte", "venda": "venda"}
EARLY, LATE, CORRECTIONS = 200, 100, 30
# A full training of seconds, and schedules of seconds.
SETTINGS: Final = {
    "TRIAGEM_TRAIN_MIN_STEPS": "300", "TRIAGEM_TRAIN_NUM_TRAIN_EPOCHS": "1", "TRIAGEM_TRAIN_LEARNING_RATE": "1e-3",
    "TRIAGEM_TRAIN_FOLDS": "0", "TRIAGEM_TRAIN_EVAL_STEPS": "20", "TRIAGEM_TRAIN_WARMUP_STEPS": "0",
    "TRIAGEM_TRAIN_DATALOADER_NUM_WORKERS": "0", "TRIAGEM_RETRAIN_AT": "15s", "TRIAGEM_DUE_MAX_NEW_DATA": "0.7",
    "TRIAGEM_RECLASSIFY_AT": "5s", "TRIAGEM_RECLASSIFY_EVERY": "1s", "TRIAGEM_DELIVER_EVERY": "1s",
}  # fmt: skip
WAIT_S: Final = 300.0
T = TypeVar("T")


def write_texts(number: int, rng: random.Random, cues: Mapping[str, str] = LATER) -> dict[str, str]:
    """Texts, and the right label of each: the word around two others says it."""
    labels: dict[str, str] = {}
    while len(labels) < number:
        label = LABELS[len(labels) % 2]
        cue = cues[label]
        before, after = ("".join(rng.choices("abcdefghilmnoprstuv", k=6)) for _ in range(2))
        labels[f"{cue} {before} {cue} {after} {cue}"] = label
    return labels


def until_answered(send: Callable[[], T]) -> T:
    """The answer of a gateway that may be starting again meanwhile."""
    answers: list[T] = []

    def answered() -> bool:
        try:
            answers.append(send())
        except httpx2.TransportError:
            return False
        return True

    until(answered, seconds=120)
    return answers[0]


@dataclass
class Crm:
    """A CRM that sends signed webhooks until they are accepted, and receives results. `labels`: the right ones."""

    gateway: httpx2.Client
    receiver: Receiver
    labels: dict[str, str] = field(default_factory=dict)

    def write_tickets(self, labels: dict[str, str]) -> Iterator[None]:
        """Send new tickets, one at each step."""
        for text, label in labels.items():
            number = str(len(self.labels))
            self.labels[number] = label
            self._send({"event": "ticket", "id": number, "text": text})
            yield

    def correct(self, number: str, agent: str) -> None:
        """Let an agent set the right label."""
        self._send({"event": "category", "id": number, "category": self.labels[number], "agent": agent})

    @property
    def results(self) -> dict[str, dict[str, str | None]]:
        """The labels received for each ticket by delivery; repetitions of a delivery count once, as receivers do."""
        received: dict[str, dict[str, str | None]] = defaultdict(dict)
        for request in list(self.receiver.received):
            data = verified_data(request)
            received[data["external_id"]][data["id"]] = data["label"]
        return received

    def _send(self, payload: dict[str, str]) -> None:
        body = json.dumps(payload).encode()

        def post() -> httpx2.Response:
            at = datetime.now(UTC).isoformat()
            headers = {"X-Signature": signature(f"{at}.".encode() + body).hex(), "X-Timestamp": at}
            return self.gateway.post("/v1/webhooks/shop", content=body, headers=headers)

        def accepted() -> bool:
            answer = until_answered(post)
            assert answer.status_code in {200, 202, 429}, answer.text
            return answer.status_code != 429

        until(accepted)


CRM_FILE: Final = """
allowed_hosts = ["127.0.0.1"]
[shop]
adapter = "generic"
secret = "{secret}"
signature = {{ header = "X-Signature", signed = "{{timestamp}}.{{body}}", timestamp_header = "X-Timestamp" }}
records = "[?event=='ticket']"
fields = {{ external_id = "id", text = ["text"] }}
verdict = {{ records = "[?event=='category']", external_id = "id", value = "category", actor = "agent" }}
callback = {{ url = "{url}/hook", secret = "{key}" }}
"""


class Owner(Browser):
    """The person who labels and decides, in the console only. Each step is repeated while the gateway is down."""

    def do(self, path: str, form: str = "", **fields: Any) -> str:
        """Open a page and submit one of its forms, `form` or the one of the page itself; returns the next page."""
        return until_answered(lambda: self.send(form or path.partition("?")[0], self.see(path), **fields))

    def page(self, path: str) -> str:
        """Open a page."""
        return until_answered(lambda: self.see(path))

    def answer(self, labels: dict[str, str]) -> str:
        """Label the text that the page Start shows."""
        before = '<p class="text" tabindex="0">'
        until(lambda: before in self.page("start"))
        text = unescape(self.page("start").partition(before)[2].partition("</p>")[0])
        label = labels[" ".join(text.split())]
        self.do("start", label=label)
        return label


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().open() as opened:
        yield opened


@pytest.fixture
def up(receiver: Receiver, tmp_path: Path) -> Iterator[Up]:
    crm = tmp_path / "crm.toml"
    crm.write_text(CRM_FILE.format(secret=SECRET, url=receiver.url, key=KEY), "utf-8")
    history = tmp_path / "history.jsonl"
    rng = random.Random(1)
    rows = (write_texts(160, rng) | write_texts(80, rng, FIRST)).items()
    history.write_text("".join(json.dumps({"prompt": text, "completion": label}) + "\n" for text, label in rows))
    settings = {
        "TRIAGEM_CRM_FILE": str(crm), "TRIAGEM_TRAINER_DATA": str(history),
        "TRIAGEM_TRAIN_BASE": tiny_base(tmp_path / "base"),
    }  # fmt: skip
    with started(tmp_path, **SETTINGS, **settings) as installation:
        yield installation


def results(up: Up, *options: str) -> dict[str, dict[str, Any]]:
    rows = up.run("results", "--format", "json", "--limit", "1000", *options)["results"]
    return {row["external_id"]: row for row in rows}


def versions(up: Up) -> set[str]:
    return {row["model_version"] for row in results(up).values()}


def scheduled_job(up: Up) -> dict[str, Any]:
    """The first retraining that the schedule requested."""
    jobs = (job for job in reversed(up.run("jobs", "list", "--json")) if job["requested_by"] == "schedule")
    return next(jobs, {"state": "", "fraction": 0})


@pytest.mark.slow
def test_from_an_empty_installation_to_a_retrained_version_in_spite_of_five_kills(up: Up, receiver: Receiver) -> None:
    rng = random.Random(33)
    webhooks = {name: rng.randrange(EARLY + LATE) for name in ("gateway", "worker", "beat")}
    delivered, fraction = rng.randrange(1, LATE), rng.uniform(0, 0.8)
    until(lambda: up.serves() or up.process.poll() is not None)
    assert up.process.poll() is None, up.output
    http = httpx2.Client(base_url=up.address, headers={"Accept-Language": "en"}, follow_redirects=True, timeout=30)
    owner, crm = Owner(http), Crm(httpx2.Client(base_url=up.address, timeout=30), receiver)
    owner.send("enter", owner.http.get(up.link()).text)

    # The first labels, by a person in the console, make a first version. Nobody has proved its precision.
    for label in LABELS:
        owner.do("start", "start/label", name=label, description="")
    first = write_texts(60, rng, FIRST)
    upload(owner, first)
    answers = Counter[str]()
    while min(answers[label] for label in LABELS) < 10:
        answers[owner.answer(first)] += 1
    until(lambda: "v1.0.0" in owner.page("start"), seconds=WAIT_S)

    # The CRM sends tickets, and its agents correct labels.
    def receive(labels: dict[str, str]) -> None:
        for _ in crm.write_tickets(labels):
            for name in [name for name, number in webhooks.items() if number < len(crm.labels)]:
                until(partial(up.kill, name))
                del webhooks[name]

    receive(write_texts(EARLY, rng))
    until(lambda: len(results(up, "--source", "shop")) == EARLY, seconds=WAIT_S)
    wrong = [name for name, row in results(up, "--source", "shop").items() if row["label"] != crm.labels[name]]
    corrected = rng.sample(sorted(wrong), CORRECTIONS)
    for index, name in enumerate(corrected):
        crm.correct(name, f"agent {index % 10}")

    # The schedule retrains; the version passes the gate and waits for a person, who accepts it in the console.
    until(lambda: (job := scheduled_job(up))["fraction"] > fraction or job["state"] == "done", seconds=WAIT_S)
    until(lambda: up.kill("trainer"))
    until(lambda: scheduled_job(up)["state"] not in {"queued", "running"}, seconds=WAIT_S)
    retraining = scheduled_job(up)
    assert (retraining["state"], retraining["stage"]) == ("done", "proposed"), retraining
    version = retraining["version"]
    owner.do(f"model?version={version}", "model")

    # The stored tickets are classified again, and the CRM is not told. New tickets are delivered, each label once.
    until(lambda: versions(up) == {version}, seconds=WAIT_S)
    receive(write_texts(LATE, rng))
    until(lambda: len(crm.results) >= delivered, seconds=WAIT_S)
    until(lambda: up.kill("ops"))
    new = [str(number) for number in range(EARLY, EARLY + LATE)]
    until(lambda: crm.results.keys() >= {*new}, seconds=WAIT_S)
    until(lambda: not up.run("deliveries", "list", "--state", "waiting", "--json"), seconds=WAIT_S)
    assert not webhooks, "each process was killed"
    stored = results(up, "--source", "shop")
    labels = {name: None if stored[name]["band"] == "abstain" else stored[name]["label"] for name in new}
    assert {name: list(received.values()) for name, received in crm.results.items()} == {
        name: [label] for name, label in labels.items()
    }
    assert all(stored[name]["label"] == crm.labels[name] for name in corrected)

    check_audit_trail(up, f"training {retraining['id']}", version)
    assert up.run("db", "verify", "--json")["findings"] == []


def check_audit_trail(up: Up, job: str, version: str) -> None:
    """Each step is in the audit trail with its actor, the steps of people once."""
    owner = "key 1 (owner)"
    trail = [
        (row["actor"], row["action"], row["object"], row["outcome"])
        for row in reversed(up.run("audit", "--limit", "1000", "--json"))
    ]
    first = next(actor for actor, action, *_ in trail if action == "model.promote")
    assert [row[1:] for row in trail if row[0] == owner] == [
        ("login", "console", "done"),
        ("label.set", "suporte", "added"),
        ("label.set", "venda", "added"),
        ("training.request", first, "done"),
        ("model.promote", version, "done"),
    ]
    assert [row[2] for row in trail if row[1] == "model.promote"] == ["v1.0.0", version]
    assert {
        (first, "training.finish", first, "promoted v1.0.0"),
        ("schedule", "training.request", job, "done"),
        (job, "training.finish", job, f"proposed {version}"),
    } <= {*trail}
    runs = [(actor, outcome) for actor, action, _, outcome in trail if action == "run.start"]
    assert (job, f"shadow of {version}") in runs
    assert ("schedule", version) in runs


def upload(owner: Owner, labels: dict[str, str]) -> None:
    """Upload a file on the page Start."""
    token = owner.page("start").partition('name="token" value="')[2].partition('"')[0]
    content = "id;mensagem\n" + "".join(f'{number};"{text}"\n' for number, text in enumerate(labels))
    files = {"file": ("export.csv", content.encode(), "text/csv")}
    answer = until_answered(lambda: owner.http.post("/console/start/upload", data={"token": token}, files=files))
    assert f"Messages accepted: {len(labels)}" in answer.text
