"""deploy/cloudrun: Cloud Run takes a pod in a Knative service; the pod is validated against its schema."""

import re
from typing import Any

import kubernetes_validate
import pytest

from tests.support.manifests import PROJECT, ROOT, documents

SERVICES = {path.stem: documents(path)[0] for path in sorted((ROOT / "deploy" / "cloudrun").glob("*.yaml"))}
KNATIVE_FIELDS = {"containerConcurrency", "timeoutSeconds"}  # fields that Knative adds to a pod


def template(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = SERVICES[name]["spec"]["template"]
    return spec


@pytest.mark.parametrize("name", SERVICES)
def test_the_pod_matches_its_schema(name: str) -> None:
    spec = {key: value for key, value in template(name)["spec"].items() if key not in KNATIVE_FIELDS}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubernetes_validate.validate(pod, "1.34", strict=True)


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_has_this_releases_tag_and_secrets_come_from_the_secret_manager(name: str) -> None:
    (container,) = template(name)["spec"]["containers"]
    assert re.search(rf"/triagem/{name}(-cpu)?:{re.escape(PROJECT['version'])}$", container["image"])
    secrets = [variable for variable in container["env"] if variable["name"].endswith("_URL")]
    assert len(secrets) == 2
    assert all(variable.keys() == {"name", "valueFrom"} for variable in secrets)


def test_the_workers_port_is_its_metrics_port() -> None:
    (container,) = template("worker")["spec"]["containers"]
    settings = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert settings["TRIAGEM_METRICS_PORT"] == str(container["ports"][0]["containerPort"])
    assert settings["TRIAGEM_METRICS_HOST"] == "0.0.0.0"


def test_the_worker_ends_within_the_ten_seconds_that_cloud_run_gives() -> None:
    (container,) = template("worker")["spec"]["containers"]
    (deadline,) = (
        float(variable["value"]) for variable in container["env"] if variable["name"] == "TRIAGEM_STOP_DEADLINE_S"
    )
    assert deadline < 10
