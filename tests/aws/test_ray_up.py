"""`ray up`, `rsync-up`, `submit`, `exec` and `down` with the shipped cluster file: moto is AWS, the node is here.

Ray itself calls the programs ssh and rsync; without them nothing of this can run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import yaml

from aws import autoscaler_file, keys
from tests.aws import ray_wrapper
from tests.aws.conftest import CIDR, REGION, ROOT, SshServer, moto_server
from tests.ports import free_port

pytestmark = pytest.mark.skipif(
    not (shutil.which("ssh") and shutil.which("rsync")), reason="Ray's cluster commands need the programs ssh and rsync"
)

TRAINING = (
    "dqn_example/dqn_quickstart.yaml", "--auto", "--tboff", "--name", "cluster", "--stop-iterations", "1",
    "--set", "env_config.experiment.town=Minitown",
    "--set", "env_runners.num_envs_per_env_runner=1",
    "--set", "reporting.min_sample_timesteps_per_iteration=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A moto server that knows AWS's own policies, which `ray up` attaches; they take a second at every reset."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log", MOTO_IAM_LOAD_MANAGED_POLICIES="true") as address:
        yield address


@pytest.fixture
def node(ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """The cluster's head: this machine, behind an SSH server, with a Ray of its own."""
    mark = f"test-{os.getpid()}-{free_port()}"
    programs = ssh_server.folder / "bin"
    programs.mkdir()
    for name, arguments in (("ray", f" {Path(ray_wrapper.__file__)}"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (programs / name).chmod(0o755)
    # A short folder: Ray's socket files lie in it, and their paths may have 107 characters.
    session = tempfile.mkdtemp(prefix="rt", dir="/tmp")
    port = free_port()
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ssh_server.own_file_system = False
    ssh_server.environment = {
        ray_wrapper.MARK: mark,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_SESSION": session,
        "RAY_PORT": str(port),
    }
    (ssh_server.folder / ".bashrc").write_text("")
    (ssh_server.folder / ".bash_profile").write_text(f'export PATH="{programs}:$PATH"\n')
    yield ssh_server
    ray_wrapper.stop(mark)
    shutil.rmtree(session, ignore_errors=True)


@pytest.fixture
def cluster_file(aws: Any, image: str, node: SshServer, tmp_path: Path) -> Path:
    """The shipped file with a test's key, image and group, one small head, and a Ray that shares the machine."""
    key = keys.ensure_key_pair(aws, "cluster")
    vpc = aws.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = aws.create_security_group(GroupName="cluster", Description=CIDR, VpcId=vpc)["GroupId"]
    path = tmp_path / "cluster.yaml"
    path.write_text((ROOT / "dqn_example" / "dqn_autoscaler.yaml").read_text())
    autoscaler_file.write_ids(path, image, [group], "cluster", key, REGION)
    config = yaml.safe_load(path.read_text())
    config["cluster_name"] = f"test-{node.port}"
    config["auth"]["ssh_proxy_command"] = f"{sys.executable} {Path(__file__).with_name('relay.py')} {node.port}"
    config["setup_commands"] = []
    _start_beside_others(config)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def local_cluster_file(node: SshServer, aws: Any, tmp_path: Path) -> Path:
    """A cluster of one's own: one machine, named by its address."""
    path = tmp_path / "local.yaml"
    config = yaml.safe_load((ROOT / "dqn_example" / "dqn_autoscaler.yaml").read_text())
    for name in ("available_node_types", "head_node_type", "max_workers", "upscaling_speed"):
        del config[name]
    config["cluster_name"] = f"local-{node.port}"
    config["provider"] = {"type": "local", "head_ip": "127.0.0.5", "worker_ips": []}
    config["auth"]["ssh_private_key"] = str(keys.ensure_key_pair(aws, "cluster"))
    config["auth"]["ssh_proxy_command"] = f"{sys.executable} {Path(__file__).with_name('relay.py')} {node.port}"
    config["setup_commands"] = []
    _start_beside_others(config)
    path.write_text(yaml.safe_dump(config))
    return path


def _start_beside_others(config: dict[str, Any]) -> None:
    config["head_start_ray_commands"] = [
        "ray stop",
        "ray start --head --port=$RAY_PORT --node-ip-address=127.0.0.1 --temp-dir=$RAY_SESSION --num-cpus=2 "
        "--include-dashboard=false --autoscaling-config=~/ray_bootstrap_config.yaml",
    ]


def ray(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        capture_output=True, text=True, timeout=480, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"ray {' '.join(words)}\n{output[-6000:]}"
    return output


class Life(NamedTuple):
    """What a cluster had, said and left behind.

    Attributes:
        files: Of the repository, on the head.
        notes: The text that was sent to the head.
        training: What the submitted `dqn_train.py` said.
        status: What `ray status` said on the head.
        processes_up: Ray's processes on the head while the cluster was up.
        processes_down: Those that were left when it was down.
    """

    files: set[str]
    notes: str
    training: str
    status: str
    processes_up: list[psutil.Process]
    processes_down: list[psutil.Process]


def live(file: Path, node: SshServer, tmp_path: Path, words: Sequence[str]) -> Life:
    """Bring a cluster up, send it a file, submit `dqn_train.py` with some words, ask how it is, and take it down."""
    notes = tmp_path / "notes.txt"
    notes.write_text("for the cluster")
    mark = node.environment[ray_wrapper.MARK]
    ray("up", "-y", "--no-config-cache", str(file))
    files = {path.relative_to(node.folder).as_posix() for path in node.folder.rglob("*") if path.is_file()}
    ray("rsync-up", str(file), str(notes), str(node.folder / "notes.txt"))
    training = ray("submit", str(file), "dqn_train.py", "--", *words)
    status = ray("exec", str(file), "ray status")
    up = ray_wrapper.own_ray_processes(mark)
    ray("down", "-y", str(file))
    text = (node.folder / "notes.txt").read_text()
    return Life(files, text, training, status, up, ray_wrapper.own_ray_processes(mark))


def test_a_cluster_on_aws(cluster_file: Path, node: SshServer, aws: Any, tmp_path: Path) -> None:
    life = live(cluster_file, node, tmp_path, TRAINING)
    assert {"rllib_integration/__init__.py", "dqn_example/dqn_config.yaml"} <= life.files
    assert not [file for file in life.files if "__pycache__" in file]
    assert life.notes == "for the cluster"
    assert "iteration    1 |" in life.training
    assert "/8.0 CPU" in life.status
    assert life.processes_up
    assert life.processes_down == []
    assert list((node.folder / "ray_results" / "carla_rllib" / "cluster").glob("checkpoint_*/weights.pth"))
    instances = [i for r in aws.describe_instances()["Reservations"] for i in r["Instances"]]
    assert [instance["State"]["Name"] for instance in instances] == ["terminated"]
    assert instances[0]["MetadataOptions"]["HttpTokens"] == "required"


def test_a_cluster_of_ones_own(local_cluster_file: Path, node: SshServer, tmp_path: Path) -> None:
    life = live(local_cluster_file, node, tmp_path, ["--help"])
    assert "dqn_example/dqn_config.yaml" in life.files
    assert life.notes == "for the cluster"
    assert "--stop-duration" in life.training
    assert "/2.0 CPU" in life.status
    assert life.processes_up
    assert life.processes_down == []
