"""deploy/k8s: manifests are valid; each process has time to finish, probes, and minimal privileges."""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from tests.support.manifests import K8S, OVERLAYS, PROJECT, ROOT, documents, resources
from triagem.gateway.serve import GRACE_S
from triagem.worker.health import ALIVE_S
from triagem.worker.settings import WorkerSettings

KUBERNETES = "1.34"


def resources_of_kind(overlay: str, name: str) -> dict[str, dict[str, Any]]:
    matching = (resource for resource in resources(K8S / "overlays" / overlay) if resource["kind"] == name)
    return {resource["metadata"]["name"]: resource for resource in matching}


def pods(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("Deployment", "Job"):
        for title, workload in resources_of_kind(overlay, name).items():
            yield title, workload["spec"]["template"]["spec"]


PODS = [pytest.param(pod, id=f"{overlay}-{name}") for overlay in OVERLAYS for name, pod in pods(overlay)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_matches_the_schema(overlay: str) -> None:
    manifests = resources(K8S / "overlays" / overlay)
    assert {manifest["kind"] for manifest in manifests} >= {
        "Deployment",
        "Job",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "Service",
    }
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_every_file_is_deployed() -> None:
    for folder in (K8S / "base", *(K8S / "overlays" / overlay for overlay in OVERLAYS)):
        (listed,) = documents(folder / "kustomization.yaml")
        assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == {
            name for name in listed["resources"] if name.endswith(".yaml")
        }


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_has_minimal_privileges(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("pod", PODS)
def test_an_image_has_this_releases_tag(pod: dict[str, Any]) -> None:
    name, _, tag = pod["containers"][0]["image"].partition(":")
    assert tag == PROJECT["version"]
    target = name.removeprefix("triagem/")
    assert re.search(rf"^FROM base AS {target}$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_is_ready_once_warm_and_alive_while_its_threads_report(overlay: str) -> None:
    """INV-22. A worker stays alive while Redis is unavailable: no probe uses Redis."""
    (worker,) = resources_of_kind(overlay, "Deployment")["worker"]["spec"]["template"]["spec"]["containers"]
    assert worker["readinessProbe"]["exec"]["command"] == ["triagem", "worker", "--check", "--ready"]
    assert worker["livenessProbe"]["exec"]["command"] == ["triagem", "worker", "--check"]
    startup = worker["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 2 * ALIVE_S


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_processes_have_time_to_finish_their_work(overlay: str) -> None:
    grace = {name: pod["terminationGracePeriodSeconds"] for name, pod in pods(overlay) if name != "migrate"}
    assert grace["worker"] > WorkerSettings().stop_deadline_s
    assert grace["gateway"] > GRACE_S + 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_draining_a_node_stops_at_most_one_gateway_and_one_worker(overlay: str) -> None:
    budgets = resources_of_kind(overlay, "PodDisruptionBudget")
    deployments = resources_of_kind(overlay, "Deployment")
    assert set(budgets) == {"gateway", "worker"}
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"] == deployments[name]["spec"]["selector"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_http_and_prometheus_traffic_may_enter(overlay: str) -> None:
    policies = resources_of_kind(overlay, "NetworkPolicy").values()
    assert any(
        policy["spec"]["podSelector"] == {} and "Ingress" in policy["spec"]["policyTypes"] for policy in policies
    )
    allowed = {
        (policy["metadata"]["name"], port["port"])
        for policy in policies
        for rule in policy["spec"].get("ingress", ())
        for port in rule["ports"]
    }
    assert allowed == {("gateway", 8000), ("metrics", 9100)}
