"""The shipped cluster files are what today's Ray and KubeRay accept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from aws import autoscaler_file
from aws.errors import AwsHelperError
from tests.aws.conftest import ROOT

# Fields of KubeRay's RayJob and RayCluster (ray.io/v1).
RAYJOB_FIELDS = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "entrypoint", "entrypointNumCpus", "entrypointNumGpus",
    "entrypointResources", "jobId", "metadata", "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes",
    "submissionMode", "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
}  # fmt: skip
CLUSTER_FIELDS = {
    "authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "headServiceAnnotations",
    "rayVersion", "suspend", "workerGroupSpecs",
}  # fmt: skip
AUTOSCALER = ROOT / "dqn_example" / "dqn_autoscaler.yaml"


def load(path: Path = AUTOSCALER) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def test_ray_accepts_the_cluster_file(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = prepare_config(load())
    validate_config(config)
    assert config["head_node_type"] == "head"


def test_fault_25_it_holds_nobodys_ids() -> None:
    text = AUTOSCALER.read_text()
    for prefix in ("ami-", "sg-", "subnet-", "vpc-", "arn:"):
        assert prefix not in text


def test_all_that_training_needs_is_mounted() -> None:
    sources = set(load()["file_mounts"].values())
    assert {"rllib_integration", "minicarla", "dqn_example", "pyproject.toml", "README.md"} <= sources
    assert all((ROOT / source).exists() for source in sources)


def test_the_authentication_mode_is_set_on_every_node() -> None:
    config = load()
    starts = [c for c in config["head_start_ray_commands"] + config["worker_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=disabled" in command for command in starts)


def test_ids_are_written_and_comments_kept(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(AUTOSCALER.read_text())
    autoscaler_file.write_ids(path, "ami-1", ["sg-1"], "key", Path("/keys/key.pem"), "us-east-2")
    config = load(path)
    for node_type in config["available_node_types"].values():
        assert node_type["node_config"]["ImageId"] == "ami-1"
        assert node_type["node_config"]["SecurityGroupIds"] == ["sg-1"]
        assert node_type["node_config"]["KeyName"] == "key"
    assert config["auth"]["ssh_private_key"] == "/keys/key.pem"
    assert config["provider"]["region"] == "us-east-2"
    comments = [line for line in AUTOSCALER.read_text().splitlines() if line.lstrip().startswith("#")]
    assert all(comment in path.read_text() for comment in comments)


def test_a_file_that_is_no_cluster_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(AwsHelperError, match="available_node_types"):
        autoscaler_file.write_ids(path, "ami-1", [], "key", Path("k"), os.environ.get("REGION", "eu-west-1"))
    assert path.read_text() == "a: 1\n"


def rayjob() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "dqn_example" / "dqn_rayjob.yaml").read_text()))


def test_the_pods_of_the_rayjob_are_valid() -> None:
    spec = rayjob()["spec"]
    cluster = spec["rayClusterSpec"]
    templates = [cluster["headGroupSpec"]["template"], spec["submitterPodTemplate"]]
    templates += [group["template"] for group in cluster["workerGroupSpecs"]]
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, "1.31", strict=True)
    assert len(templates) == 3


def test_the_rayjob_uses_only_fields_that_kuberay_knows() -> None:
    job = rayjob()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= RAYJOB_FIELDS
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) <= CLUSTER_FIELDS
    assert set(cluster["headGroupSpec"]) <= {"rayStartParams", "template", "serviceType", "enableIngress"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def test_the_rayjob_runs_the_ray_that_is_required() -> None:
    version = rayjob()["spec"]["rayClusterSpec"]["rayVersion"]
    requirement = re.search(r'"ray\[rllib\]==([\d.]+)\*"', (ROOT / "pyproject.toml").read_text())
    assert requirement is not None
    assert version.startswith(requirement[1])
    assert f"rayproject/ray:{version}-" in (ROOT / "Dockerfile").read_text()
