"""A gateway, and a legitimate client that uses it during an attack."""

import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from tests.hostile.attackers import Attackers
from tests.hostile.attacks import Attack
from tests.support.gateway_process import ATTACKER, MARK, Gateway
from triagem.db import Database
from triagem.db.auth import Scope, begin_session, create_key
from triagem.stack import Endpoints

TICKETS_PER_S: Final = 10
_CRM_FILE: Final = """
[signed]
adapter = "generic"
secret = "a signing secret"
fields = { external_id = "id", text = ["text"], revised_at = "at" }

[batches]
adapter = "generic"
token = "0123456789abcdef"
fields = { external_id = "id", text = ["text"] }
"""


@dataclass
class Outcome:
    """The outcome of an attack, for the attackers and for the legitimate client."""

    attack: str
    connections: int
    statuses: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sent: int = 0
    accepted: int = 0
    live_s: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def survived(self) -> bool:
        """Whether every legitimate request succeeded, and no answer or log line was wrong."""
        return self.sent == self.accepted > 0 and not self.faults and self.peak_mib < 256

    @property
    def live_ms(self) -> tuple[float, float]:
        """p99 and the worst latency of `/health/live`."""
        cuts = statistics.quantiles(self.live_s, n=100) if len(self.live_s) > 1 else [0.0] * 99
        return cuts[98] * 1000, max(self.live_s, default=0.0) * 1000


class Rig:
    """A gateway process with two webhook sources."""

    def __init__(self, endpoints: Endpoints, folder: Path, seed: int, receive_timeout_s: float = 5.0) -> None:
        crm_file = folder / "crm.toml"
        crm_file.write_text(_CRM_FILE)
        self.gateway = Gateway(
            endpoints,
            folder,
            TRIAGEM_CRM_FILE=str(crm_file),
            TRIAGEM_GATEWAY_OPEN_PREDICT="false",
            TRIAGEM_GATEWAY_RECEIVE_TIMEOUT_S=str(receive_timeout_s),
        )
        with Database(endpoints.database_url) as database:
            _, self._key = create_key(database, "legitimate", [Scope.ENQUEUE])
            attacker, self._attacker_key = create_key(database, "attacker", list(Scope))
            self._session = begin_session(database, attacker)
        self._attackers = Attackers(
            seed, port=self.gateway.port, client=ATTACKER, key=self._attacker_key, session=self._session
        )
        self._number = 0

    def inflict(self, attack: Attack | None, connections: int, seconds: float, rounds: int = 0) -> Outcome:
        """Attack while a legitimate client submits tickets; without an attack, only the client."""
        outcome = Outcome(attack.name if attack else "none", connections)
        with self._legitimate_client(outcome):
            if attack is None:
                time.sleep(seconds)
            else:
                outcome.statuses, outcome.faults = self._attackers.attack(attack, connections, seconds, rounds)
        outcome.peak_mib = self._peak_mib()
        log = self.gateway.process.log.read_text(encoding="utf-8", errors="replace")
        for word in ("Traceback", MARK.decode(), self._attacker_key, self._session):
            if word in log:
                outcome.faults.append(f"the log contains {word}")
        return outcome

    @contextmanager
    def _legitimate_client(self, outcome: Outcome) -> Iterator[None]:
        stop = threading.Event()

        def submit() -> None:
            while not stop.wait(1 / TICKETS_PER_S):
                outcome.sent += 1
                self._number += 1
                try:
                    outcome.accepted += self.gateway.post(self._number, self._key) is not None
                except (OSError, HTTPException) as error:
                    outcome.faults.append(f"legitimate ticket: {type(error).__name__}")

        def probe() -> None:
            while not stop.wait(0.05):
                began = time.perf_counter()
                connection = HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
                try:
                    connection.request("GET", "/health/live")
                    connection.getresponse().read()
                except (OSError, HTTPException) as error:
                    outcome.faults.append(f"/health/live: {type(error).__name__}")
                finally:
                    connection.close()
                outcome.live_s.append(time.perf_counter() - began)

        threads = [threading.Thread(target=submit), threading.Thread(target=probe)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            time.sleep(0.5)  # the legitimate client goes on for a moment after the attack
            stop.set()
            for thread in threads:
                thread.join()

    def _peak_mib(self) -> float:
        """Peak memory of a process in MiB, on Linux only; elsewhere 0."""
        status = Path(f"/proc/{self.gateway.process.pid}/status")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return int(peak[1]) / 1024 if peak else 0.0

    def close(self) -> None:
        self._attackers.close()
        self.gateway.process.kill()
