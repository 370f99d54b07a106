"""What AWS refuses becomes a sentence, and leaves nothing that costs money unnamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aws import utils
from tests.aws.conftest import CIDR, Result, SshServer
from tests.aws.faults import FaultyAws
from tests.aws.test_aws_helper import LAUNCH, script

Run = Callable[..., Result]


@pytest.fixture
def faulty(aws: Any, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyAws]:
    relay = FaultyAws(moto_endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
    yield relay
    relay.close()


@pytest.mark.parametrize(
    ("action", "code", "hint"),
    [
        ("RunInstances", "UnauthorizedOperation", "lacks a permission"),
        ("RunInstances", "VcpuLimitExceeded", "higher vCPU quota"),
        ("RunInstances", "InsufficientInstanceCapacity", "--availability-zone"),
        ("RunInstances", "MaxSpotInstanceCountExceeded", "without --spot"),
        ("CreateSecurityGroup", "UnauthorizedOperation", "lacks a permission"),
        ("CreateKeyPair", "UnauthorizedOperation", "lacks a permission"),
        ("DescribeImages", "AuthFailure", "credentials"),
    ],
)
def test_a_refusal_is_a_sentence(helper: Run, image: str, faulty: FaultyAws, action: str, code: str, hint: str) -> None:
    faulty.errors[action] = (code, "You may not.")
    result = helper(*LAUNCH, "--ami-id", image, "--spot")
    assert result.status == 1
    assert f"You may not ({code})" in result.err
    assert hint in result.err
    assert "Traceback" not in result.err


def test_a_refused_key_pair_leaves_no_empty_key_file(helper: Run, aws: Any, image: str, faulty: FaultyAws) -> None:
    faulty.errors["CreateKeyPair"] = ("UnauthorizedOperation", "No.")
    assert helper(*LAUNCH, "--ami-id", image).status == 1
    faulty.errors.clear()
    assert helper(*LAUNCH, "--ami-id", image).status == 0


def test_an_instance_that_never_gets_ready_is_stopped_and_named(
    helper: Run, aws: Any, image: str, faulty: FaultyAws
) -> None:
    faulty.replacements["DescribeInstances"] = ("<name>running</name>", "<name>terminated</name>")
    result = helper(*LAUNCH, "--ami-id", image)
    instance = aws.describe_instances()["Reservations"][0]["Instances"][0]
    assert result.status == 1
    assert instance["State"]["Name"] == "stopped"
    assert instance["InstanceId"] in result.err


def test_a_failed_stop_warns_that_it_may_still_run(
    helper: Run, aws: Any, image: str, ssh_server: SshServer, faulty: FaultyAws, tmp_path: Any
) -> None:
    faulty.errors["StopInstances"] = ("UnauthorizedOperation", "No.")
    result = helper(
        "create-image", "--name", "test", "--ssh-cidr", CIDR, "--base-ami-id", image,
        "--installation-scripts", script(tmp_path, "exit 3"),
    )  # fmt: skip
    assert result.status == 3
    assert "MAY STILL RUN" in result.err


def test_the_callers_address_comes_from_a_service_unless_given(helper: Run, image: str) -> None:
    result = helper("launch", "--ami-id", image, CARLA_RLLIB_ADDRESS_SERVICE="http://127.0.0.1:9/")
    assert result.status == 1
    assert "--ssh-cidr" in result.err


def test_fault_25_the_base_image_is_the_published_one(helper: Run, image: str, faulty: FaultyAws) -> None:
    faulty.parameters[utils.BASE_AMI_PARAMETERS[1]] = image
    result = helper("create-image", "--name", "test", "--ssh-cidr", CIDR, "--dry-run")
    assert result.status == 0, result.err
    assert f"of {image} " in result.out


def test_fault_25_without_a_published_one_it_is_the_newest_of_amazons(
    helper: Run, image: str, faulty: FaultyAws
) -> None:
    row = "<item><imageId>{}</imageId><creationDate>{}</creationDate><rootDeviceName>/dev/sda1</rootDeviceName></item>"
    rows = row.format("ami-0000000000000000a", "2024-01-01T00:00:00.000Z")
    rows += row.format(image, "2026-01-01T00:00:00.000Z")
    faulty.replacements["DescribeImages"] = ("<imagesSet/>", f"<imagesSet>{rows}</imagesSet>")
    result = helper("create-image", "--name", "test", "--ssh-cidr", CIDR, "--dry-run")
    assert result.status == 0, result.err
    assert f"of {image} " in result.out
