"""`aws_helper.py` as a user runs it, against moto over HTTP and a real SSH server."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.aws.conftest import CIDR, ROOT, Result, SshServer
from tests.patience import PATIENCE

Run = Callable[..., Result]
LAUNCH = ("launch", "--name", "test", "--ssh-cidr", CIDR)


def launched(helper: Run, image: str) -> dict[str, Any]:
    result = helper(*LAUNCH, "--ami-id", image, "--json")
    assert result.status == 0, result.err
    return dict(json.loads(result.out))


def script(folder: Path, text: str, name: str = "setup.sh") -> str:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\nset -e\n{text}\n")
    return str(path)


def test_launch_makes_a_private_instance(helper: Run, aws: Any, image: str) -> None:
    instance = launched(helper, image)
    described = aws.describe_instances(InstanceIds=[instance["instance_id"]])["Reservations"][0]["Instances"][0]
    volume = aws.describe_volumes(VolumeIds=[described["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"][0]
    assert instance["state"] == "running"
    assert described["MetadataOptions"]["HttpTokens"] == "required"
    assert volume["Encrypted"]
    assert volume["Size"] == 150


def test_fault_26_only_the_given_address_reaches_ssh(helper: Run, aws: Any, image: str) -> None:
    instance = launched(helper, image)
    group = aws.describe_security_groups(GroupIds=instance["security_groups"])["SecurityGroups"][0]
    from_outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(r["FromPort"], r["ToPort"], r["IpRanges"][0]["CidrIp"]) for r in from_outside] == [(22, 22, CIDR)]
    inside = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    assert [pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]


def test_a_private_key_is_for_its_owner_alone(helper: Run, image: str) -> None:
    key = Path(launched(helper, image)["pem_file"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_key_and_group_of_the_name_are_used_again(helper: Run, aws: Any, image: str) -> None:
    first, second = launched(helper, image), launched(helper, image)
    assert first["security_groups"] == second["security_groups"]
    assert len(aws.describe_key_pairs()["KeyPairs"]) == 1


def test_a_key_that_lies_elsewhere_is_not_overwritten(helper: Run, aws: Any, image: str) -> None:
    aws.create_key_pair(KeyName="test")
    result = helper(*LAUNCH, "--ami-id", image)
    assert result.status == 1
    assert "is not on this machine" in result.err
    assert "Traceback" not in result.err


def test_another_key_of_the_name_is_refused(helper: Run, aws: Any, image: str) -> None:
    key = Path(launched(helper, image)["pem_file"])
    before = key.read_bytes()
    aws.delete_key_pair(KeyName="test")
    aws.create_key_pair(KeyName="test", KeyType="ed25519")
    result = helper(*LAUNCH, "--ami-id", image)
    assert result.status == 1
    assert "two different keys" in result.err
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"IpProtocol": "tcp", "FromPort": 8265, "ToPort": 8300}, "in on ports 8265 to 8300; only SSH (22) is meant"),
        ({"IpProtocol": "-1"}, "in on all ports; only SSH (22) is meant"),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}, f"lets in 198.51.100.0/24, {CIDR} by SSH, not {CIDR}"),
    ],
)
def test_a_wider_group_of_the_name_is_refused(
    helper: Run, aws: Any, image: str, rule: dict[str, Any], sentence: str
) -> None:
    vpc = aws.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = aws.create_security_group(GroupName="test", Description="x", VpcId=vpc)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": CIDR}]}
    everyone = [{"CidrIp": "198.51.100.0/24"}]
    aws.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, {**rule, "IpRanges": everyone}])
    result = helper(*LAUNCH, "--ami-id", image)
    assert result.status == 1
    assert sentence in result.err


def test_a_group_for_another_address_is_refused(helper: Run, image: str) -> None:
    launched(helper, image)
    result = helper("launch", "--name", "test", "--ami-id", image, "--ssh-cidr", "198.51.100.9/32")
    assert result.status == 1
    assert CIDR in result.err
    assert "198.51.100.9/32" in result.err


@pytest.mark.parametrize("cidr", ["everywhere", "203.0.113.7/16", "203.0.113.7/33"])
def test_a_wrong_address_block_gets_a_sentence(helper: Run, image: str, cidr: str) -> None:
    result = helper("launch", "--ami-id", image, "--ssh-cidr", cidr)
    assert result.status == 1
    assert "is not a block of addresses" in result.err


def test_without_a_default_vpc_it_says_what_to_do(helper: Run, aws: Any, image: str) -> None:
    vpc = aws.describe_vpcs()["Vpcs"][0]["VpcId"]
    for subnet in aws.describe_subnets()["Subnets"]:
        aws.delete_subnet(SubnetId=subnet["SubnetId"])
    aws.delete_vpc(VpcId=vpc)
    result = helper(*LAUNCH, "--ami-id", image)
    assert result.status == 1
    assert "create-default-vpc" in result.err


def test_dry_run_changes_nothing(helper: Run, aws: Any, image: str) -> None:
    result = helper(*LAUNCH, "--ami-id", image, "--dry-run")
    assert result.status == 0
    assert "Would make" in result.out
    assert aws.describe_key_pairs()["KeyPairs"] == []
    assert aws.describe_instances()["Reservations"] == []
    assert not (Path(os.environ["HOME"]) / "rllib_keys").exists()


def test_stop_start_list_terminate(helper: Run, image: str) -> None:
    identity = ("--instance-id", launched(helper, image)["instance_id"])
    assert json.loads(helper("stop", *identity, "--json").out)["state"] == "stopped"
    assert [row["instance_id"] for row in json.loads(helper("list", "--json").out)] == [identity[1]]
    assert json.loads(helper("start", *identity, "--json").out)["state"] == "running"
    refused = helper("terminate", *identity)
    assert refused.status == 1
    assert "--yes" in refused.err
    assert json.loads(helper("terminate", *identity, "--yes", "--json").out)["state"] == "terminated"
    assert json.loads(helper("list", "--json").out) == []


def test_fault_27_info_prints_one_field_and_exits_zero(helper: Run, image: str) -> None:
    instance = launched(helper, image)
    result = helper("info", "--instance-id", instance["instance_id"], "--field", "public_ip")
    assert (result.status, result.out.strip()) == (0, instance["public_ip"])


def test_fault_27_info_refuses_an_unknown_field(helper: Run) -> None:
    result = helper("info", "--instance-id", "i-1", "--field", "colour")
    assert result.status == 2
    assert "public_ip" in result.err


def test_fault_27_a_missing_instance_id_is_noticed(helper: Run) -> None:
    result = helper("stop")
    assert result.status == 2
    assert "--instance-id" in result.err


def test_the_flat_spelling_still_works(helper: Run, image: str) -> None:
    instance = launched(helper, image)
    result = helper("--instance-id", instance["instance_id"], "--volume-size", "5", "info", "--field", "state")
    assert (result.status, result.out.strip()) == (0, "running")
    assert "does not use --volume-size" in result.err


def test_an_unknown_flag_is_refused(helper: Run) -> None:
    result = helper("list", "--colour", "red")
    assert result.status == 2
    assert "--colour" in result.err


def test_no_region_is_a_sentence(helper: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    result = helper("list")
    assert result.status == 1
    assert "--region" in result.err
    assert "Traceback" not in result.err


def test_secrets_are_never_printed(helper: Run, image: str) -> None:
    result = helper(*LAUNCH, "--ami-id", image)
    key = (Path(os.environ["HOME"]) / "rllib_keys" / "test.pem").read_text().splitlines()[1]
    assert key not in result.out + result.err
    assert "testing-secret" not in result.out + result.err


def test_create_image_runs_the_scripts_and_prints_the_ids(
    helper: Run, aws: Any, image: str, ssh_server: SshServer, tmp_path: Path
) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text((ROOT / "dqn_example" / "dqn_autoscaler.yaml").read_text())
    first = script(tmp_path, "echo one; echo uno >&2", "first.sh")
    second = script(tmp_path, "echo two", "second.sh")
    result = helper(
        "create-image", "--name", "test", "--ssh-cidr", CIDR, "--base-ami-id", image, "--json",
        "--installation-scripts", first, second, "--write-autoscaler", str(cluster),
    )  # fmt: skip
    assert result.status == 0, result.err
    values = json.loads(result.out)
    assert aws.describe_images(ImageIds=[values["image_id"]])["Images"][0]["State"] == "available"
    assert ssh_server.commands == ["bash -l /tmp/first.sh", "bash -l /tmp/second.sh"]
    assert result.err.index("one") < result.err.index("two")
    assert "uno" in result.err
    text = cluster.read_text()
    assert text.count(values["image_id"]) == 3
    assert text.count(values["security_groups"][0]) == 3
    assert "# Nodes beside the head, at the most." in text


def test_fault_27_a_failing_script_makes_no_image_and_gives_its_status(
    helper: Run, aws: Any, image: str, ssh_server: SshServer, tmp_path: Path
) -> None:
    result = helper(
        "create-image", "--name", "test", "--ssh-cidr", CIDR, "--base-ami-id", image,
        "--installation-scripts", script(tmp_path, "echo broken >&2; exit 3"),
    )  # fmt: skip
    assert result.status == 3
    assert "broken" in result.err
    instance = aws.describe_instances()["Reservations"][0]["Instances"][0]
    assert instance["State"]["Name"] == "stopped"
    assert f"terminate --instance-id {instance['InstanceId']}" in result.err
    assert aws.describe_images(Owners=["self"])["Images"] == []


def test_an_interrupted_create_image_leaves_nothing_running(
    aws: Any, image: str, ssh_server: SshServer, tmp_path: Path
) -> None:
    command = [
        sys.executable, str(ROOT / "aws" / "aws_helper.py"), "create-image", "--name", "test", "--ssh-cidr", CIDR,
        "--base-ami-id", image, "--installation-scripts", script(tmp_path, "echo begun; sleep 60"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("begun"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    instance = aws.describe_instances()["Reservations"][0]["Instances"][0]
    assert process.returncode == 130
    assert instance["State"]["Name"] == "stopped"
    assert instance["InstanceId"] in err


def test_a_missing_script_is_noticed_before_anything_is_made(helper: Run, aws: Any) -> None:
    result = helper("create-image", "--ssh-cidr", CIDR, "--installation-scripts", "nowhere.sh")
    assert result.status == 1
    assert "nowhere.sh" in result.err
    assert aws.describe_instances()["Reservations"] == []


def test_a_region_without_a_base_image_gets_a_sentence(helper: Run) -> None:
    result = helper("create-image", "--name", "test", "--ssh-cidr", CIDR, "--dry-run")
    assert result.status == 1
    assert "--base-ami-id" in result.err


def test_fault_27_put_get_and_exec(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    identity = ("--instance-id", launched(helper, image)["instance_id"])
    source = tmp_path / "project"
    for name in ("a.txt", "deep/b.txt", "deep/skip/c.txt", "deep/d.pyc", "skip/e.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    result = helper("put", *identity, "--source", str(source), "--target", "/project", "--exclude", "skip", "*.pyc")
    assert result.status == 0, result.err
    arrived = sorted(p.relative_to(ssh_server.folder / "project").as_posix()
                     for p in (ssh_server.folder / "project").rglob("*") if p.is_file())  # fmt: skip
    assert arrived == ["a.txt", "deep/b.txt"]
    back = tmp_path / "back"
    result = helper("get", *identity, "--source", "/project", "--target", str(back), "--exclude", "a.*")
    assert result.status == 0, result.err
    assert [p.relative_to(back).as_posix() for p in back.rglob("*.txt")] == ["deep/b.txt"]
    result = helper("exec", *identity, "--script", script(tmp_path, 'echo "got $1"; exit 4'), "--script-args", "a b")
    assert result.status == 4
    assert "got a b" in result.out


def test_fault_26_a_changed_host_key_is_refused(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    identity = ("--instance-id", launched(helper, image)["instance_id"])
    run = ("exec", *identity, "--script", script(tmp_path, "echo fine"))
    assert helper(*run).status == 0
    ssh_server.stop()
    ssh_server.start()
    result = helper(*run)
    assert result.status == 1
    assert "host key" in result.err
    assert len(ssh_server.commands) == 1


def test_fault_26_a_wrong_key_is_a_sentence(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    instance = launched(helper, image)
    other = launched_with_key(helper, image, "other")
    ssh_server.authorized_keys = Path(other["pem_file"])
    result = helper("exec", "--instance-id", instance["instance_id"], "--script", script(tmp_path, "true"))
    assert result.status == 1
    assert "refused the key" in result.err


def launched_with_key(helper: Run, image: str, key_name: str) -> dict[str, Any]:
    result = helper(*LAUNCH, "--ami-id", image, "--json", "--key-name", key_name)
    assert result.status == 0, result.err
    return dict(json.loads(result.out))


def test_a_copy_that_breaks_off_says_so(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    identity = ("--instance-id", launched(helper, image)["instance_id"])
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(3_000_000))
    ssh_server.break_after_bytes = 500_000
    result = helper("put", *identity, "--source", str(big), "--target", "/big.bin")
    assert result.status == 1
    assert "stopped" in result.err
    assert "Traceback" not in result.err


def test_a_jump_host_is_used(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    instance = launched(helper, image)
    config = Path(os.environ["HOME"]) / ".ssh" / "config"
    config.write_text(
        f"Host bastion\n  HostName 127.0.0.1\n  Port {ssh_server.port}\n  User jumper\n"
        f"Host {instance['public_ip']}\n  HostName 127.0.0.1\n  Port {ssh_server.port}\n  ProxyJump bastion\n"
    )
    result = helper("exec", "--instance-id", instance["instance_id"], "--script", script(tmp_path, "echo there"))
    assert result.status == 0, result.err
    assert "there" in result.out


def test_a_proxy_command_is_used(helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    instance = launched(helper, image)
    relay = Path(__file__).with_name("relay.py")
    config = Path(os.environ["HOME"]) / ".ssh" / "config"
    config.write_text(f"Host *\n  User someone\n  ProxyCommand {sys.executable} {relay} {ssh_server.port}\n")
    result = helper("exec", "--instance-id", instance["instance_id"], "--script", script(tmp_path, "echo there"))
    assert result.status == 0, result.err
    assert "there" in result.out


def test_output_comes_line_by_line(aws: Any, helper: Run, image: str, ssh_server: SshServer, tmp_path: Path) -> None:
    instance = launched(helper, image)
    path = script(tmp_path, "echo first; read -r -t 60 < gate; echo second")
    os.mkfifo(ssh_server.folder / "gate")
    command = [
        sys.executable, str(ROOT / "aws" / "aws_helper.py"), "exec", "--instance-id", instance["instance_id"],
        "--script", path,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline(), process.stdout.readline()]
        assert seen[1].strip() == "first"  # it is here although the script waits at the gate
        with (ssh_server.folder / "gate").open("w") as gate:
            gate.write("go\n")
        assert process.stdout.readline().strip() == "second"
        assert process.wait(timeout=PATIENCE) == 0
