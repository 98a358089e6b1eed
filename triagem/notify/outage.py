"""Sends alerts about an outage directly, from the process that notices it: neither Redis nor Postgres is needed.

The process remembers open alerts, and sends a message again if a channel failed to take it. Two processes that notice
the same outage send two messages.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Final

import structlog

from triagem.contracts.errors import TriagemError
from triagem.db.outbox.alerts import AlertDigest, EndedOutage, SystemEvent
from triagem.notify.alert_messages import system_alert_detail
from triagem.notify.alert_rendering import build_message
from triagem.notify.alert_rules import AlertRules, AlertSettings
from triagem.notify.channels import SendMessage, channel_sender
from triagem.notify.request import Retry

log = structlog.get_logger(__name__)

_EVERY_S: Final = 15.0


class OutageWatch:
    """Runs checks, and reports a problem once it has lasted `after_s` seconds. A check returns True if all is well.

    Args:
        checks: the checks by kind of alert; OUTAGE_KINDS in `triagem.db.outbox.alerts` lists the kinds.
        record: stores an outage that has ended, in Postgres.
    """

    def __init__(
        self,
        checks: Mapping[str, Callable[[], bool]],
        *,
        after_s: float,
        rules: Callable[[], AlertRules],
        record: Callable[[EndedOutage], object] = lambda _: None,
        sender: Callable[[Sequence[str]], SendMessage] = channel_sender,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks, self._after_s = checks, after_s
        self._rules, self._sender, self._clock, self._record = rules, sender, clock, record
        self._bad_since: dict[str, float] = {}
        self._open: set[str] = set()
        self._unsent: list[AlertDigest] = []
        self._unrecorded: list[EndedOutage] = []

    def run(self, stopping: Event) -> None:
        """Check every few seconds until `stopping` is set."""
        while not stopping.wait(min(_EVERY_S, self._after_s / 4)):
            self.check()

    def check(self) -> None:
        """Run all checks at once: one that hangs delays no other. An outage begins before the check that fails.

        Send opened and resolved alerts, and messages whose earlier attempt failed.
        """
        rules, began = self._rules(), self._clock()
        with ThreadPoolExecutor(len(self._checks)) as threads:
            results = list(threads.map(lambda is_well: is_well(), self._checks.values()))
        for kind, well in zip(self._checks, results, strict=True):
            self._update(kind, rules, began, well=well)
        send, unsent = self._sender(rules.allowed_hosts), self._unsent
        self._unsent = []
        for digest in unsent:
            if (target := rules.targets.get(digest.target)) is None:
                continue
            outcome = send(target.channel, build_message(digest, target.language, AlertSettings()))
            if isinstance(outcome, Retry):
                self._unsent.append(digest)
        with suppress(TriagemError):  # Postgres may not answer yet: the next check tries again
            while self._unrecorded:
                self._record(self._unrecorded[0])
                del self._unrecorded[0]

    def _update(self, kind: str, rules: AlertRules, began: float, *, well: bool) -> None:
        lasted_s = self._clock() - self._bad_since.setdefault(kind, began)
        if well:
            del self._bad_since[kind]
        if (kind in self._open) is (not well) or lasted_s < self._after_s:
            return
        self._open ^= {kind}
        state = "resolved" if well else "open"
        log.log(
            logging.INFO if well else logging.ERROR, "outage_alert", kind=kind, state=state, lasted_s=round(lasted_s)
        )
        at = datetime.now(UTC)
        since = at - timedelta(seconds=lasted_s)
        detail = system_alert_detail(kind, state, lasted_s, self._after_s, since=since, now=at)
        names = [name for name, target in rules.targets.items() if kind in target.rule.kinds]
        self._unsent += [
            AlertDigest(0, 1, at, None, name, counts=(), doubtful=(), events=(SystemEvent(kind, at, detail),))
            for name in names
        ]
        if well:
            self._unrecorded.append(EndedOutage(kind, since, detail, is_sent=bool(names)))
