"""Shared by all processes: secrets from files, setting errors, the time zone, the metrics endpoint, child processes.

prometheus-client is imported late: a producer does not need it, and the ops worker must first set where it counts.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError

from triagem.contracts.errors import InvalidInput
from triagem.contracts.field_errors import explain
from triagem.contracts.moments import time_zone
from triagem.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily

# TRIAGEM_CRM_FILE and TRIAGEM_HEARTBEAT_FILE do not match: they are settings of their own.
SECRET_FILE: Final = re.compile(r"(TRIAGEM_\w+_(?:URL|PASSWORD|TOKEN|SECRET|DSN))_FILE")


def read_secret_file(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The content of the file that the variable `name`_FILE names; None if that variable is not set.

    Raises:
        InvalidInput: the file cannot be read or is empty, or both variables are set.
    """
    variable = f"{name}_FILE"
    path = environment.get(variable)
    if not path:
        return None
    if environment.get(name):
        raise InvalidInput(f"{name} and {variable} are both set: unset one of them")
    try:
        content = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{variable}={path} cannot be read ({type(error).__name__})") from None
    if not content:
        raise InvalidInput(f"{variable}={path} is empty")
    return content


def secret(name: str, setting: SecretStr | None) -> str | None:
    """The content of the file that the variable `name`_FILE names, else the setting. Raises as `read_secret_file`."""
    return read_secret_file(name) or (setting.get_secret_value() if setting else None)


def read_secret_files(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set TRIAGEM_REDIS_URL to the content of the file named by TRIAGEM_REDIS_URL_FILE, and so on.

    For Triagem's own processes, whose child processes inherit the values. Raises InvalidInput as `read_secret_file`.
    """
    for variable in list(environment):
        match = SECRET_FILE.fullmatch(variable)
        if match and (content := read_secret_file(match[1], environment)):
            environment[match[1]] = content
            del environment[variable]  # child processes must not see both variables


def describe_invalid(error: ValidationError) -> list[str]:
    """A line for each environment variable that a settings class refused, without its value."""
    prefixes = {known.__name__: known.model_config.get("env_prefix") for known in Settings.__subclasses__()}
    prefix = prefixes.get(error.title) or "TRIAGEM_"
    reasons: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_input=False):  # several for a field of several types
        reasons.setdefault(f"{prefix}{detail['loc'][0]}".upper(), []).append(explain(detail))
    return [f"{variable}: {' or '.join(texts)}" for variable, texts in reasons.items()]


def describe_exit(status: int) -> str:
    """The end of a process in words."""
    if status >= 0:
        return f"exited with status {status}"
    hint = " (SIGKILL): by a person, or because memory ran out" if status == -signal.SIGKILL else ""
    return f"was killed by signal {-status}{hint}"


_ERROR_LEVELS: Final = {"error", "critical"}


def _event_level(line: str) -> str | None:
    """The level of a logged event; None if the line is not an event."""
    try:
        return str(json.loads(line)["level"])
    except (ValueError, TypeError, KeyError):
        return None


STOP_S: Final = 70.0  # a worker needs up to 60 s to finish its work after SIGTERM


class ChildProcess:
    """One long-running `triagem` command, with extra settings. Without a log file it inherits our output streams."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], log: Path | None = None) -> None:
        self.log = log
        # A separate session: Ctrl-C in the terminal reaches only this process, which then stops its children in
        # order. The child's standard input is a pipe that only this process holds: if this process is killed, the
        # pipe closes and the child stops.
        with log.open("ab") if log else nullcontext() as out:
            self._log_start = out.tell() if out else 0  # earlier processes wrote the lines before
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-m", "triagem.cli.main", *command, "--with-parent"],
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while the process runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Send SIGKILL to the process and its children, and wait."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # the child leads its own session
        self._process.wait()

    def terminate(self) -> None:
        """Send SIGTERM: the process finishes its current work, then exits."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Send SIGTERM and wait, SIGKILL after `timeout_s`. Returns the exit status."""
        if self._process.poll() is None:
            self.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def exit_reason(self) -> str:
        """The last line of the log, if it can be the reason of the end; else a text that names the log."""
        if self.log is None:
            return "see its log lines above"
        lines = self.log.read_bytes()[self._log_start :].decode(errors="replace").strip().splitlines()
        if not lines:
            return "its log is empty"
        status = self.exit_status or 0
        if status == -signal.SIGKILL:
            return f"SIGKILL leaves no reason in its log {self.log}"
        level = _event_level(lines[-1])
        # A process that a signal ends logs no event about it; the interpreter or a library may write a line.
        is_reason = level is None or (level in _ERROR_LEVELS and status >= 0)
        return lines[-1][:300] if is_reason else f"its log {self.log} names no error"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class TimezoneSettings(Settings, used_by="gateway, ops, beat, `triagem enqueue`"):
    """The time zone of the people who work with this installation."""

    timezone: Annotated[str, AfterValidator(lambda name: time_zone(name).key)] = Field(
        default="UTC",
        description="time zone of schedules, of times in console and alerts, and of imported times without an offset",
    )


class MetricsSettings(Settings, used_by="gateway, worker, ops", env_prefix="TRIAGEM_METRICS_"):
    """Address of `GET /metrics` for Prometheus: `TRIAGEM_METRICS_*`."""

    port: int = Field(default=0, ge=0, le=65535, description="port of the Prometheus endpoint; 0: off")
    host: str = Field(default="127.0.0.1", description="address of the Prometheus endpoint; 0.0.0.0 in a container")

    def serve(self, registry: "CollectorRegistry | None" = None) -> None:
        """Serve in a background thread until the process exits; without a port, do nothing.

        Raises:
            InvalidInput: the address cannot be used.
        """
        from prometheus_client import REGISTRY, start_http_server  # noqa: PLC0415

        if not self.port:
            return
        try:
            start_http_server(self.port, self.host, registry or REGISTRY)
        except OSError as error:
            raise InvalidInput(
                f"cannot serve metrics on {self.host}:{self.port} ({error.strerror}): set TRIAGEM_METRICS_HOST or "
                "TRIAGEM_METRICS_PORT; each process needs its own port"
            ) from None


@dataclass(frozen=True, slots=True)
class ScrapedGauge:
    """Name, help text and labels of a gauge that is read at scrape time."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self) -> "GaugeMetricFamily":
        """An empty metric family, to which a collector adds samples."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

        return GaugeMetricFamily(self.name, self.help, labels=self.labels)
