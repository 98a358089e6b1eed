"""deploy/k8s/keda: only fields that KEDA has, and numbers that match the scaling signal's settings."""

from typing import Any, Final

import pytest

from tests.support.manifests import K8S, OVERLAYS, documents, resources
from triagem.contracts.ticket import Lane
from triagem.inbox.scaling import ScalingSettings, ScalingSignal
from triagem.inbox.stream import stream_key

# The fields of KEDA's published schema (2.20, keda.sh/v1alpha1) that are useful, by name; a type if it has no
# fields of its own. For a list, the fields of its items.
SCALING_RULES: Final = {
    "policies": {"periodSeconds": int, "type": str, "value": int},
    "selectPolicy": str,
    "stabilizationWindowSeconds": int,
}
SPECS: Final[dict[str, dict[str, Any]]] = {
    "ScaledObject": {
        "scaleTargetRef": {"apiVersion": str, "envSourceContainerName": str, "kind": str, "name": str},
        "pollingInterval": int,
        "cooldownPeriod": int,
        "initialCooldownPeriod": int,
        "idleReplicaCount": int,
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "fallback": {"behavior": str, "failureThreshold": int, "replicas": int},
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": SCALING_RULES, "scaleUp": SCALING_RULES},
                "name": str,
            },
            "restoreToOriginalReplicaCount": bool,
        },
        "triggers": {
            "authenticationRef": {"kind": str, "name": str},
            "metadata": dict,
            "metricType": str,
            "name": str,
            "type": str,
            "useCachedMetrics": bool,
        },
    },
    "TriggerAuthentication": {"secretTargetRef": {"key": str, "name": str, "parameter": str}},
}
BEHAVIOURS: Final = {"static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"}
# The metadata that the documentation of each trigger names; the schema allows any text.
METADATA: Final = {
    "metrics-api": {
        "url",
        "valueLocation",
        "targetValue",
        "activationTargetValue",
        "authMode",
        "unsafeSsl",
        "format",
    },
    "redis-streams": {"address", "host", "port", "stream", "streamLength", "databaseIndex", "enableTLS", "unsafeSsl"},
}

RESOURCES = resources(K8S / "keda")
SCALED = next(resource for resource in RESOURCES if resource["kind"] == "ScaledObject")["spec"]


def unknown(value: Any, known: Any, path: str = "spec") -> list[str]:
    """The fields that are not in the schema, or of another type."""
    if isinstance(known, type):
        return [] if type(value) is known else [f"{path}: {value!r} is not of type {known.__name__}"]
    if isinstance(value, list):
        return [problem for item in value for problem in unknown(item, known, path)]
    return [
        problem
        for name, child in value.items()
        for problem in (unknown(child, known[name], f"{path}.{name}") if name in known else [f"{path}.{name}"])
    ]


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda resource: f"{resource['kind']}-{resource['metadata']['name']}"
)
def test_every_field_is_one_that_keda_has(resource: dict[str, Any]) -> None:
    assert resource["apiVersion"] == "keda.sh/v1alpha1"
    assert unknown(resource["spec"], SPECS[resource["kind"]]) == []


def test_a_field_that_keda_does_not_have_would_be_found() -> None:
    assert unknown({"minReplicas": 0, "maxReplicaCount": "8"}, SPECS["ScaledObject"]) == [
        "spec.minReplicas",
        "spec.maxReplicaCount: '8' is not of type int",
    ]


@pytest.mark.parametrize("trigger", SCALED["triggers"], ids=lambda trigger: trigger["name"])
def test_a_triggers_metadata_has_only_its_scalers_fields_as_text(trigger: dict[str, Any]) -> None:
    assert trigger["metadata"].keys() <= METADATA[trigger["type"]]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    names = {resource["metadata"]["name"] for resource in RESOURCES if resource["kind"] == "TriggerAuthentication"}
    assert trigger["authenticationRef"]["name"] in names


def test_one_replica_is_one_desired_worker() -> None:
    trigger = SCALED["triggers"][0]
    assert trigger["metadata"]["valueLocation"] in ScalingSignal.__dataclass_fields__
    assert (trigger["metadata"]["targetValue"], trigger["metricType"]) == ("1", "AverageValue")


def test_scaling_from_zero_reads_both_lanes_and_requests_one_worker() -> None:
    by_length = [trigger["metadata"] for trigger in SCALED["triggers"] if trigger["type"] == "redis-streams"]
    assert {metadata["stream"] for metadata in by_length} == {stream_key(lane) for lane in Lane}
    assert all(int(metadata["streamLength"]) >= 10**9 for metadata in by_length)


def test_its_numbers_match_those_of_the_signal() -> None:
    """INV-25: workers added for a backlog stay until it is gone; without a number the count does not change."""
    signal = ScalingSettings()
    rules = SCALED["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert rules["scaleDown"]["stabilizationWindowSeconds"] >= signal.drain_s
    assert SCALED["cooldownPeriod"] >= signal.cold_start_s
    assert (SCALED["minReplicaCount"], SCALED["maxReplicaCount"]) == (signal.min, signal.max)
    assert SCALED["fallback"]["behavior"] == "currentReplicas"
    assert SCALED["fallback"]["behavior"] in BEHAVIOURS


def test_it_scales_an_existing_deployment_through_an_existing_service() -> None:
    for overlay in OVERLAYS:
        deployed = {
            (resource["kind"], resource["metadata"]["name"]) for resource in resources(K8S / "overlays" / overlay)
        }
        assert {("Deployment", SCALED["scaleTargetRef"]["name"]), ("Service", "gateway")} <= deployed
    (spec,) = documents(K8S / "overlays" / "gpu" / "kustomization.yaml")
    assert f"//gateway.{spec['namespace']}.svc/" in SCALED["triggers"][0]["metadata"]["url"]
