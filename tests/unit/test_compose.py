"""Dockerfile and docker-compose.yml: Docker's tools accept them; limits, users, ports, health checks of services."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests import ROOT, documents, tool
from tests.support.promql import panels
from triagem.gateway.serve import GRACE_S
from triagem.trainer.bases.catalogue import SPECIFICATION_BASE
from triagem.worker.settings import WorkerSettings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ONE_SHOT = {"secrets", "migrate", "demo"}
# Third-party images, each with its own configuration, and the users they run as.
SERVERS = {"redis": "redis", "postgres": "postgres", "prometheus": "nobody", "grafana": "grafana"}


@functools.cache
def compose(*arguments: str) -> dict[str, Any]:
    """The file as Docker Compose resolves it: validated against its schema, with variables and defaults filled in."""
    result = subprocess.run(
        [tool("docker-compose"), "-f", "docker-compose.yml", *arguments, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    config: dict[str, Any] = json.loads(result.stdout)
    return config


NAMES = list(documents(ROOT / "docker-compose.yml")[0]["services"])
OURS = [name for name in NAMES if name not in SERVERS]


def all_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = compose("--profile", "*")["services"]
    return services


def seconds(duration: str) -> float:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration).groups()  # type: ignore[union-attr]
    return int(minutes or 0) * 60 + int(rest or 0)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    result = subprocess.run(
        [tool("hadolint"), "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_minimal_privileges(name: str) -> None:
    service = all_services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    if name in SERVERS:
        assert service["user"] == SERVERS[name]


@pytest.mark.parametrize("name", OURS)
def test_our_image_is_a_target_of_the_dockerfile_and_runs_as_an_unprivileged_user(name: str) -> None:
    target = all_services()[name]["build"]["target"]
    assert all_services()[name]["image"] == f"triagem/{target}:latest"
    stage = re.search(rf"^FROM base AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage
    assert "USER 10001:10001" in stage[1]


@pytest.mark.parametrize("name", sorted(set(NAMES) - ONE_SHOT))
def test_a_long_running_service_restarts_and_has_limits_and_a_health_check(name: str) -> None:
    service = all_services()[name]
    assert service["restart"] == "unless-stopped"
    assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    if name in {"beat", "trainer", "trainer-gpu"}:  # these services exit when they fail
        assert service["healthcheck"] == {"disable": True}
    elif name in SERVERS:
        assert service["healthcheck"]["test"]
    else:
        command = name.removesuffix("-gpu")
        assert f'"triagem", "{command}", "--check"' in DOCKERFILE
        assert "healthcheck" not in service


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_worker_has_time_to_finish_its_window(name: str) -> None:
    assert seconds(all_services()[name]["stop_grace_period"]) > WorkerSettings().stop_deadline_s


def test_the_gateway_has_time_to_finish_its_requests() -> None:
    assert seconds(all_services()["gateway"]["stop_grace_period"]) > GRACE_S


def test_only_the_gateway_and_monitoring_publish_ports_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in all_services().items() if "ports" in service}
    assert {name: [port["host_ip"] for port in ports] for name, ports in published.items()} == {
        name: ["127.0.0.1"] for name in ("gateway", "prometheus", "grafana")
    }


@pytest.mark.parametrize("name", ["trainer", "trainer-gpu"])
def test_the_trainer_downloads_the_specifications_base_once_and_registers_for_the_workers(name: str) -> None:
    service, target = all_services()[name], all_services()[name]["build"]["target"]
    stage = DOCKERFILE.partition(f"FROM base AS {target}\n")[2].partition("FROM ")[0]
    variables = dict(re.findall(r"\b([A-Z_]+)=(\S+)", stage))
    volumes = {volume["target"]: volume for volume in service["volumes"]}
    assert variables["TRIAGEM_TRAIN_BASE"] == service["environment"]["TRIAGEM_TRAIN_BASE"] == SPECIFICATION_BASE
    assert variables["HF_HUB_OFFLINE"] == "0"  # the base image sets 1
    assert volumes[variables["HF_HOME"]]["type"] == "volume"
    assert re.search(rf"install -d .*{variables['HF_HOME']}\b", DOCKERFILE)  # or the volume would belong to root
    assert volumes["/models"].get("read_only") is None
    assert volumes["/models"]["source"] == all_services()["worker"]["volumes"][1]["source"]
    assert json.loads(re.findall(r"^CMD (.*)$", stage, re.MULTILINE)[0]) == ["trainer"]
    assert volumes["/data"]["read_only"]


def test_workers_can_be_scaled() -> None:
    assert "container_name" not in all_services()["worker"]
    assert "ports" not in all_services()["worker"]


@pytest.mark.parametrize("name", NAMES)
def test_no_password_is_in_the_file(name: str) -> None:
    for variable, value in (all_services()[name].get("environment") or {}).items():
        if re.search("URL|PASSWORD|SECRET", variable):
            assert variable.endswith("_FILE")
            assert value.startswith("/secrets/")


def test_workers_and_gateway_never_see_the_owners_password() -> None:
    visible = {
        name
        for name, service in all_services().items()
        if any(volume.get("source") == "postgres-secrets" for volume in service.get("volumes", ()))
    }
    assert visible == {"secrets", "postgres", "migrate"}


def test_each_process_has_its_own_redis_user_and_password(tmp_path: Path) -> None:
    script = (ROOT / "deploy" / "compose" / "secrets.py").read_text(encoding="utf-8")
    script = script.replace('"/secrets"', repr(str(tmp_path))).replace('"/users.acl"', '"deploy/redis/users.acl"')
    for name in ("redis", "postgres", "grafana", "gateway", "beat", "triagem"):
        (tmp_path / name).mkdir()
    for _ in range(2):  # the second start changes nothing
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)

    acl = (tmp_path / "redis/users.acl").read_text()
    users = {}
    for file in ("gateway/redis_url", "triagem/redis_url", "triagem/broker_url", "beat/broker_url"):
        user, _, password = (tmp_path / file).read_text().removeprefix("redis://").partition("@")[0].partition(":")
        assert f"user {user} on >{password} " in acl
        users[user] = password
    assert len(set(users.values())) == len(users) == acl.count(" on >") == 3
    assert "user default off" in acl


def test_the_gateway_and_beat_mount_only_their_own_passwords() -> None:
    services = all_services()
    mounted = {
        name: [volume["source"] for volume in services[name]["volumes"] if "secrets" in volume["source"]]
        for name in ("gateway", "beat")
    }
    assert mounted == {"gateway": ["gateway-secrets"], "beat": ["beat-secrets"]}
    assert "TRIAGEM_DATABASE_URL_FILE" not in services["beat"]["environment"]


def test_servers_reach_nothing_outside_and_monitoring_does_not_reach_them() -> None:
    config = compose("--profile", "*")
    reachable = {name for name, service in config["services"].items() if "servers" in service.get("networks", ())}
    assert config["networks"]["servers"]["internal"] is True
    for name in ("redis", "postgres"):
        assert [*config["services"][name]["networks"]] == ["servers"]
    ours = {"migrate", "gateway", "worker", "worker-gpu", "trainer", "trainer-gpu", "ops", "beat", "demo"}
    assert reachable == {"redis", "postgres", *ours}


def test_the_inbox_loses_nothing_that_it_accepted() -> None:
    config = (ROOT / "deploy" / "compose" / "redis.conf").read_text(encoding="utf-8").splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(config)


def test_the_documented_override_mounts_each_file_where_it_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "how-to" / "containers.md").read_text(), re.DOTALL | re.MULTILINE
    )
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(block)
    services = compose("-f", str(override))["services"]
    for name, variables in {"gateway": {"CRM"}, "ops": {"CRM", "ALERTS"}}.items():
        environment = services[name]["environment"]
        assert environment.items() > all_services()[name]["environment"].items()  # existing variables stay
        assert "/config" in {volume["target"] for volume in services[name]["volumes"]}
        assert all(environment[f"TRIAGEM_{variable}_FILE"].startswith("/config/") for variable in variables)


def test_stand_in_images_have_the_names_that_compose_uses() -> None:
    script = (ROOT / "deploy" / "standins" / "make.sh").read_text(encoding="utf-8")
    images = {all_services()[name]["image"] for name in SERVERS} - {all_services()["grafana"]["image"]}
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"-t docker\.io/(?:library/)?(\S+)", script)) == images | {f"python:{python}"}


def test_prometheus_scrapes_the_services_with_metrics_by_name_and_port() -> None:
    (config,) = documents(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    scraped = {
        name: str(target["port"])
        for job in config["scrape_configs"]
        for target in job["dns_sd_configs"]
        for name in target["names"]
    }
    exposed = {
        name: environment["TRIAGEM_METRICS_PORT"]
        for name, service in all_services().items()
        if "TRIAGEM_METRICS_PORT" in (environment := service.get("environment") or {})
    }
    assert scraped == exposed
    assert all(all_services()[name]["environment"]["TRIAGEM_METRICS_HOST"] == "0.0.0.0" for name in exposed)


def test_grafana_finds_dashboards_and_prometheus_where_they_are_mounted() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (dashboards,) = documents(provisioning / "dashboards" / "triagem.yml")
    (sources,) = documents(provisioning / "datasources" / "prometheus.yml")
    mounted = {volume["target"] for volume in all_services()["grafana"]["volumes"]}
    assert {provider["options"]["path"] for provider in dashboards["providers"]} | {
        "/etc/grafana/provisioning"
    } <= mounted
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"] for source in sources["datasources"]}
