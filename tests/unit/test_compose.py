"""Dockerfile and docker-compose.yml: what Docker's own tools accept, and what each service is promised."""

import functools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests import ROOT, documents, tool
from tests.support.promql import panels
from triagem.gateway.settings import GatewaySettings
from triagem.worker.settings import WorkerSettings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ONCE = {"secrets", "migrate", "demo"}
# Other people's images, each with a configuration of its own, and whom they run as.
SERVERS = {"redis": "redis", "postgres": "postgres", "prometheus": "nobody", "grafana": "grafana"}


@functools.cache
def compose(*arguments: str) -> dict[str, Any]:
    """The file as Docker Compose reads it: checked against the published schema, with variables and defaults in."""
    done = subprocess.run(
        [tool("docker-compose"), "-f", "docker-compose.yml", *arguments, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


NAMES = list(documents(ROOT / "docker-compose.yml")[0]["services"])
OURS = [name for name in NAMES if name not in SERVERS]


def everything() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = compose("--profile", "*")["services"]
    return services


def seconds(duration: str) -> float:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration).groups()  # type: ignore[union-attr]
    return int(minutes or 0) * 60 + int(rest or 0)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(
        [tool("hadolint"), "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_up_starts_the_whole_pipeline_and_neither_gpu_nor_demo() -> None:
    expected = {"secrets", "redis", "postgres", "migrate", "gateway", "worker", "ops", "beat"}
    assert set(compose()["services"]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_minimal_privileges(name: str) -> None:
    service = everything()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    if name in SERVERS:
        assert service["user"] == SERVERS[name]


@pytest.mark.parametrize("name", OURS)
def test_our_image_is_a_target_of_the_dockerfile_and_runs_as_an_unprivileged_user(name: str) -> None:
    target = everything()[name]["build"]["target"]
    assert everything()[name]["image"] == f"triagem/{target}:latest"
    stage = re.search(rf"^FROM base AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage
    assert "USER 10001:10001" in stage[1]


@pytest.mark.parametrize("name", sorted(set(NAMES) - ONCE))
def test_a_long_running_service_restarts_and_has_limits_and_a_health_check(name: str) -> None:
    service = everything()[name]
    assert service["restart"] == "unless-stopped"
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    if name == "beat":  # it has nothing to ask
        assert service["healthcheck"] == {"disable": True}
    elif name in SERVERS:
        assert service["healthcheck"]["test"]
    else:
        command = name.removesuffix("-gpu")
        assert f'"triagem", "{command}", "--check"' in DOCKERFILE
        assert "healthcheck" not in service


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_worker_has_time_to_finish_its_window(name: str) -> None:
    assert seconds(everything()[name]["stop_grace_period"]) > WorkerSettings().stop_deadline_s


def test_the_gateway_has_time_to_finish_its_requests() -> None:
    assert seconds(everything()["gateway"]["stop_grace_period"]) > GatewaySettings().grace_s


def test_only_the_gateway_and_monitoring_publish_ports_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in everything().items() if "ports" in service}
    assert {name: [port["host_ip"] for port in ports] for name, ports in published.items()} == {
        name: ["127.0.0.1"] for name in ("gateway", "prometheus", "grafana")
    }


def test_workers_can_be_scaled() -> None:
    assert "container_name" not in everything()["worker"]
    assert "ports" not in everything()["worker"]


@pytest.mark.parametrize("name", NAMES)
def test_no_password_is_in_the_file(name: str) -> None:
    for variable, value in (everything()[name].get("environment") or {}).items():
        if re.search("URL|PASSWORD|SECRET", variable):
            assert variable.endswith("_FILE")
            assert value.startswith("/secrets/")


def test_workers_and_gateway_never_see_the_owners_password() -> None:
    visible = {
        name
        for name, one in everything().items()
        if any(v.get("source") == "postgres-secrets" for v in one.get("volumes", ()))
    }
    assert visible == {"secrets", "postgres", "migrate"}


def test_the_inbox_loses_nothing_that_it_accepted() -> None:
    config = (ROOT / "deploy" / "compose" / "redis.conf").read_text(encoding="utf-8").splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(config)


def test_the_documented_override_mounts_each_file_where_it_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "containers.md").read_text(), re.DOTALL | re.MULTILINE
    )
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(block)
    services = compose("-f", str(override))["services"]
    for name, variables in {"gateway": {"CRM"}, "ops": {"CRM", "ALERTS"}}.items():
        environment = services[name]["environment"]
        assert environment.items() > everything()[name]["environment"].items()  # what was there stays
        assert "/config" in {volume["target"] for volume in services[name]["volumes"]}
        assert all(environment[f"TRIAGEM_{variable}_FILE"].startswith("/config/") for variable in variables)


def test_stand_in_images_have_the_names_that_compose_uses() -> None:
    script = (ROOT / "deploy" / "standins" / "make.sh").read_text(encoding="utf-8")
    asked = {everything()[name]["image"] for name in SERVERS} - {everything()["grafana"]["image"]}
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"-t docker\.io/(?:library/)?(\S+)", script)) == asked | {f"python:{python}"}


def test_prometheus_scrapes_the_services_with_metrics_by_name_and_port() -> None:
    (config,) = documents(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    asked = {
        name: str(found["port"])
        for job in config["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    telling = {
        name: environment["TRIAGEM_METRICS_PORT"]
        for name, one in everything().items()
        if "TRIAGEM_METRICS_PORT" in (environment := one.get("environment") or {})
    }
    assert asked == telling
    assert all(everything()[name]["environment"]["TRIAGEM_METRICS_HOST"] == "0.0.0.0" for name in telling)


def test_grafana_finds_dashboards_and_prometheus_where_they_are_mounted() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (dashboards,) = documents(provisioning / "dashboards" / "triagem.yml")
    (sources,) = documents(provisioning / "datasources" / "prometheus.yml")
    mounted = {volume["target"] for volume in everything()["grafana"]["volumes"]}
    assert {one["options"]["path"] for one in dashboards["providers"]} | {"/etc/grafana/provisioning"} <= mounted
    assert [one["url"] for one in sources["datasources"]] == ["http://prometheus:9090"]
    assert {one["datasource"]["uid"] for one in panels()} == {one["uid"] for one in sources["datasources"]}
