"""Keeps the current model loaded: polls the registry's `current`, loads new versions while the pipeline runs, and
checks that a model works."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import ModelBroken, NoModel, Retryable, TriagemError
from triagem.contracts.model import CurrentModel, DeviceModel, Model
from triagem.registry import Registry
from triagem.registry.no_model import describe_lost
from triagem.worker import metrics
from triagem.worker.bands import require_finite
from triagem.worker.batch import Limits, ServedModel

log = structlog.get_logger(__name__)

_SHADOW_IDLE_S: Final = 300.0  # a shadow model is unloaded this long after its last use
_RETRY_LOAD_S: Final = 60.0


class ModelManager:
    """Holds the current model. `load` turns a version's folder into a warmed-up model.

    If there is no model yet, it waits for the first one: a worker may start before the first training.

    It also holds at most one shadow model, loaded on request, for runs that try a version before its promotion.

    `missing`: the registry has answered that it has no current version. `collecting`: and `had_model` answered that
    it never had one. Without an answer of `had_model`, its previous one counts.

    `registry_problem` is the reason why no other version can be loaded, or an empty string; the loaded model stays in
    use.

    Polls run under `heartbeat_suspended`: a hanging store or a long download does not make the worker unhealthy.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[Path], Model],
        *,
        every_s: float,
        limits_for: Callable[[Model], Limits] = lambda _: Limits(),
        had_model: Callable[[], bool] = lambda: False,
        heartbeat_suspended: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._registry = registry
        self._load = load
        self._every_s = every_s
        self._limits_for, self._had_model = limits_for, had_model
        self._heartbeat_suspended = heartbeat_suspended
        self._current: ServedModel | None = None
        self._rejected: CurrentModel | None = None
        self._problem = ""
        self.registry_problem = ""
        self.missing = self._lost = False
        self._shadow_request: tuple[str, float] | None = None
        self._load_failure: tuple[str, float] | None = None
        self.shadow: ServedModel | None = None
        self._wake = threading.Event()
        self.ready = threading.Event()

    @property
    def waiting_for(self) -> str | None:
        """The reason why no model is loaded yet, or None."""
        return None if self.ready.is_set() else self._problem or None

    @property
    def collecting(self) -> bool:
        """Whether no model is loaded because there is none yet."""
        return self.missing and not (self._lost or self.ready.is_set())

    @property
    def current(self) -> ServedModel:
        """The model for the next window. Only valid after `ready` is set."""
        assert self._current is not None
        return self._current

    def shadow_model(self, version: str) -> ServedModel | None:
        """A version that is not current, if it is loaded; otherwise requests it. See also `failed_to_load`."""
        self._shadow_request = version, time.monotonic()
        shadow = self.shadow
        if shadow and shadow.model.manifest.version == version:
            return shadow
        self.request_reload()
        return None

    def failed_to_load(self, version: str) -> bool:
        """Whether this version failed to load within the last minute, or is the current version and was rejected."""
        if self._rejected and self._rejected.version == version:
            return True
        retry_after = time.monotonic() - _RETRY_LOAD_S
        return (
            self._load_failure is not None
            and self._load_failure[0] == version
            and self._load_failure[1] > retry_after
        )

    def request_reload(self) -> None:
        """Poll the registry now instead of at the next interval."""
        self._wake.set()

    def run(self, stopping: threading.Event, beat: Callable[[], None]) -> None:
        """Load the current version as soon as there is one, then poll. Raises the error of loading the first one."""
        while not stopping.is_set():
            beat()
            with self._heartbeat_suspended():
                self._poll()
                self._poll_shadow()
            self._wake.wait(self._every_s)
            self._wake.clear()

    def _poll(self) -> None:
        loaded, current = self._current, None
        try:
            current = self._registry.current()
            self._problem = "" if self.missing else self._problem  # a first version was promoted: it is being loaded
            self.registry_problem, self.missing = "", False
            if current == self._rejected or (
                loaded and (loaded.model.manifest.version, loaded.epoch) == (current.version, current.epoch)
            ):
                return
            same = loaded is not None and loaded.model.manifest.version == current.version
            if loaded and same:
                model, limits = loaded.model, loaded.limits
            else:
                model = self._load(self._registry.folder(current.version))
                limits = self._limits_for(model)
        except Exception as error:
            if loaded is None and not isinstance(error, NoModel | Retryable):
                raise
            self.missing = current is None and isinstance(error, NoModel)
            reason = str(error)
            if self.missing:
                with suppress(TriagemError):
                    self._lost = loaded is not None or self._had_model()
                reason = describe_lost(reason) if self._lost else reason
            if reason != self._problem:
                if loaded is None:
                    log.warning("waiting_for_model", reason=reason)
                else:
                    log.error("model_load_failed", current_version=loaded.model.manifest.version, reason=reason)
            # Catch any error: a version that cannot be loaded must not stop workers that run a good version. Only a
            # problem of the version itself rejects it, because an unavailable store may come back.
            if isinstance(error, Retryable):
                self.registry_problem = reason
            elif loaded is not None and self.missing:
                self.registry_problem = (
                    "the registry has no current version: check TRIAGEM_REGISTRY_URL; "
                    f"{loaded.model.manifest.version} keeps running"
                )
            elif loaded is not None:
                self._rejected = current or self._rejected
            self._problem = reason
            return
        self._current, self._rejected, self._problem = ServedModel(model, current.epoch, limits), None, ""
        precision = model.precision if isinstance(model, DeviceModel) else "unknown"
        metrics.set_model(model.manifest.version, precision, current.epoch, model.manifest.labels)
        self.ready.set()
        log.info("model_loaded", version=model.manifest.version, epoch=current.epoch)

    def _poll_shadow(self) -> None:
        if self._shadow_request is None:
            return
        version, requested_at = self._shadow_request
        loaded = self.shadow and self.shadow.model.manifest.version
        if time.monotonic() - requested_at > _SHADOW_IDLE_S:
            self._shadow_request = self.shadow = None
        elif version not in {loaded, self.current.model.manifest.version} and not self.failed_to_load(version):
            self.shadow = None  # three models may not fit in memory
            try:
                model = self._load(self._registry.folder(version))
            except Retryable as error:
                self.registry_problem = str(error)
                return
            except Exception as error:  # noqa: BLE001 - a broken shadow model must not stop live tickets
                log.error("shadow_model_load_failed", version=version, reason=str(error))
                self._load_failure = version, time.monotonic()
                return
            self.shadow = ServedModel(model, 0, self.current.limits)
            log.info("shadow_model_loaded", version=version)


_TEXTS: Final = ("minha internet caiu", "I would like a quote for twenty licences", "a")


def self_check(model: Model) -> None:
    """Raises ModelBroken if the model fails on a few harmless texts, for any reason."""
    try:
        for row in model.probabilities(model.tokenize(_TEXTS)):
            require_finite(row, model.manifest.labels)
    except Exception as error:
        raise ModelBroken(
            f"{model.manifest.version} fails the self-check ({type(error).__name__}): check the device, then restart"
        ) from error


def check_loaded(model: Model) -> None:
    """Run the self-check, so that no worker fetches a ticket before its model works. A device may fail once."""
    try:
        self_check(model)
    except ModelBroken:
        self_check(model)
