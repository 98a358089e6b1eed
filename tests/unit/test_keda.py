"""deploy/k8s/keda: only fields that KEDA has, and numbers that fit the signal's."""

from typing import Any, Final

import pytest

from tests.support.manifests import K8S, OVERLAYS, documents, resources
from triagem.contracts.ticket import Lane
from triagem.inbox.scaling import ScalingSettings
from triagem.inbox.scaling_signal import ScalingSignal
from triagem.inbox.stream import stream_key

# The fields of KEDA's published schema (2.20, keda.sh/v1alpha1) that are worth having, by name; a type where it has
# no fields of its own. Under a list stand the fields of its items.
RULES: Final = {
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
            "horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": RULES, "scaleUp": RULES}, "name": str},
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
# What the documentation of each trigger names (it is free text to the schema).
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

FOUND = resources(K8S / "keda")
SCALED = next(one for one in FOUND if one["kind"] == "ScaledObject")["spec"]


def unknown(value: Any, known: Any, path: str = "spec") -> list[str]:
    """What is not in the schema, or of another type."""
    if isinstance(known, type):
        return [] if type(value) is known else [f"{path}: {value!r} is no {known.__name__}"]
    if isinstance(value, list):
        return [wrong for one in value for wrong in unknown(one, known, path)]
    return [
        wrong
        for name, one in value.items()
        for wrong in (unknown(one, known[name], f"{path}.{name}") if name in known else [f"{path}.{name}"])
    ]


@pytest.mark.parametrize("resource", FOUND, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_field_is_one_that_keda_has(resource: dict[str, Any]) -> None:
    assert resource["apiVersion"] == "keda.sh/v1alpha1"
    assert unknown(resource["spec"], SPECS[resource["kind"]]) == []


def test_a_field_that_keda_does_not_have_would_be_found() -> None:
    assert unknown({"minReplicas": 0, "maxReplicaCount": "8"}, SPECS["ScaledObject"]) == [
        "spec.minReplicas",
        "spec.maxReplicaCount: '8' is no int",
    ]


@pytest.mark.parametrize("trigger", SCALED["triggers"], ids=lambda one: one["name"])
def test_a_triggers_metadata_has_only_its_scalers_fields_as_text(trigger: dict[str, Any]) -> None:
    assert trigger["metadata"].keys() <= METADATA[trigger["type"]]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    names = {one["metadata"]["name"] for one in FOUND if one["kind"] == "TriggerAuthentication"}
    assert trigger["authenticationRef"]["name"] in names


def test_one_replica_is_one_desired_worker() -> None:
    trigger = SCALED["triggers"][0]
    assert trigger["metadata"]["valueLocation"] in ScalingSignal.__dataclass_fields__
    assert (trigger["metadata"]["targetValue"], trigger["metricType"]) == ("1", "AverageValue")


def test_scaling_from_zero_reads_both_lanes_and_requests_one_worker() -> None:
    by_length = [one["metadata"] for one in SCALED["triggers"] if one["type"] == "redis-streams"]
    assert {one["stream"] for one in by_length} == {stream_key(lane) for lane in Lane}
    assert all(int(one["streamLength"]) >= 10**9 for one in by_length)


def test_its_numbers_match_those_of_the_signal() -> None:
    """INV-25: who came for a backlog stays until it is gone; without a number all stays as it is."""
    signal = ScalingSettings()
    rules = SCALED["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert rules["scaleDown"]["stabilizationWindowSeconds"] >= signal.drain_s
    assert SCALED["cooldownPeriod"] >= signal.cold_start_s
    assert (SCALED["minReplicaCount"], SCALED["maxReplicaCount"]) == (signal.min, signal.max)
    assert SCALED["fallback"]["behavior"] == "currentReplicas"
    assert SCALED["fallback"]["behavior"] in BEHAVIOURS


def test_it_scales_an_existing_deployment_through_an_existing_service() -> None:
    for overlay in OVERLAYS:
        there = {(one["kind"], one["metadata"]["name"]) for one in resources(K8S / "overlays" / overlay)}
        assert {("Deployment", SCALED["scaleTargetRef"]["name"]), ("Service", "gateway")} <= there
    (spec,) = documents(K8S / "overlays" / "gpu" / "kustomization.yaml")
    assert f"//gateway.{spec['namespace']}.svc/" in SCALED["triggers"][0]["metadata"]["url"]
