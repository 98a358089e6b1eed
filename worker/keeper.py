"""Which model runs: watches the registry's `current` and loads the next version beside the pipe."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import NoModel, Retryable
from triagem.contracts.model import CurrentModel, Model, Precise
from triagem.registry import Registry
from triagem.worker import metrics

log = structlog.get_logger(__name__)

_GUEST_STAYS_S: Final = 300.0  # after it was last asked for
_TRY_AGAIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model and the epoch of its promotion. A window carries one from take to commit."""

    model: Model
    epoch: int


class Keeper:
    """Holds the running model. `load` turns a version's folder into a warmed-up model.

    Without a model yet it waits for the first one: a worker may be started before anything was trained.

    Beside it, for runs that try a version before it is promoted, at most one guest, loaded when it is asked for.

    A look at the registry is `excused` from heartbeats: a store that hangs, or a long download, is no hanging worker.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[Path], Model],
        *,
        every_s: float,
        excused: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._registry = registry
        self._load = load
        self._every_s = every_s
        self._excused = excused
        self._running: Running | None = None
        self._refused: CurrentModel | None = None
        self._said = ""
        self._asked: tuple[str, float] | None = None
        self._cannot: tuple[str, float] | None = None
        self.guest: Running | None = None
        self._nudge = threading.Event()
        self.ready = threading.Event()

    @property
    def waits_for(self) -> str | None:
        """Why there is no model yet, if one is waited for."""
        return None if self.ready.is_set() else self._said or None

    @property
    def running(self) -> Running:
        """The model for the next window. Only after `ready`."""
        assert self._running is not None
        return self._running

    def beside(self, version: str) -> Running | None:
        """A version that is not current, if it is loaded; else it is going to be. `cannot` says if that failed."""
        self._asked = version, time.monotonic()
        guest = self.guest
        if guest and guest.model.version == version:
            return guest
        self.nudge()
        return None

    def cannot(self, version: str) -> bool:
        """Whether a version could not be loaded a short time ago, or is current and was refused."""
        if self._refused and self._refused.version == version:
            return True
        lately = time.monotonic() - _TRY_AGAIN_S
        return self._cannot is not None and self._cannot[0] == version and self._cannot[1] > lately

    def nudge(self) -> None:
        """Look at the registry now instead of at the next turn."""
        self._nudge.set()

    def run(self, stopping: threading.Event, beat: Callable[[], None]) -> None:
        """Load what is current, once there is any, then watch. Raises what loading the first one raised."""
        while not stopping.is_set():
            beat()
            with self._excused():
                self._look()
                self._look_beside()
            self._nudge.wait(self._every_s)
            self._nudge.clear()

    def _look(self) -> None:
        held, wanted = self._running, None
        try:
            wanted = self._registry.current()
            if wanted == self._refused or (
                held and (held.model.version, held.epoch) == (wanted.version, wanted.epoch)
            ):
                return
            same = held is not None and held.model.version == wanted.version
            model = held.model if held and same else self._load(self._registry.folder(wanted.version))
        except Exception as error:
            if held is None and not isinstance(error, NoModel | Retryable):
                raise
            if (why := str(error)) != self._said:
                if held is None:
                    log.warning("waiting for a model", why=why)
                else:
                    log.error("going on with the former model", version=held.model.version, why=why)
            # Any error: a version that can't be loaded must not stop workers that run a good one. A store that is
            # away may come back: only what is wrong with the version itself condemns it.
            if held is not None and not isinstance(error, Retryable):
                self._refused = wanted or self._refused
            self._said = why
            return
        self._running, self._refused, self._said = Running(model, wanted.epoch), None, ""
        precision = model.precision if isinstance(model, Precise) else "unknown"
        metrics.running(model.version, precision, wanted.epoch, model.labels)
        self.ready.set()
        log.info("model current", version=model.version, epoch=wanted.epoch)

    def _look_beside(self) -> None:
        if self._asked is None:
            return
        version, asked_at = self._asked
        held = self.guest and self.guest.model.version
        if time.monotonic() - asked_at > _GUEST_STAYS_S:
            self._asked = self.guest = None
        elif version not in {held, self.running.model.version} and not self.cannot(version):
            self.guest = None  # there may be no room for three
            try:
                model = self._load(self._registry.folder(version))
            except Retryable:
                return
            except Exception as error:  # noqa: BLE001 - live tickets go on, whatever is wrong with a guest
                log.error("cannot be loaded beside the model", version=version, why=str(error))
                self._cannot = version, time.monotonic()
                return
            self.guest = Running(model, 0)
            log.info("model beside", version=version)
