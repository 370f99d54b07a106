"""EC2 instances and machine images: what `aws_helper.py` does through boto3."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from tqdm import tqdm

from aws.errors import AwsHelperError

# The Deep Learning AMI with NVIDIA's driver; AWS publishes the id of its newest version in every region.
BASE_AMI_PARAMETERS = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
)
BASE_AMI_OWNER = "amazon"
BASE_AMI_NAME = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)*"
WAIT_INTERVAL = 5  # [s] between two looks at an instance
TAG = "carla-rllib"

HINTS = {
    "UnauthorizedOperation": "your AWS user lacks a permission for it",
    "AuthFailure": "AWS did not accept your credentials: check 'aws sts get-caller-identity'",
    "InstanceLimitExceeded": "ask AWS for a higher quota, or take another instance type or region",
    "VcpuLimitExceeded": "ask AWS for a higher vCPU quota, or take a smaller instance type",
    "MaxSpotInstanceCountExceeded": "ask AWS for a higher spot quota, or do without --spot",
    "InsufficientInstanceCapacity": "AWS has none left: take another --availability-zone or instance type",
    "SpotMaxPriceTooLow": "do without --spot",
    "InvalidInstanceID.NotFound": "see 'aws_helper.py list' for the instances there are",
    "InvalidInstanceID.Malformed": "an instance id looks like i-0123456789abcdef0",
    "InvalidAMIID.NotFound": "an image belongs to one region: check --region",
    "InvalidAMIID.Malformed": "an image id looks like ami-0123456789abcdef0",
    "InvalidAMIName.Duplicate": "take another --name",
}


def client(service: str, region: str | None) -> Any:
    """A boto3 client, configured as boto3 always is (environment, profile, instance role).

    Raises:
        AwsHelperError: No region is set anywhere.
    """
    with explained("connecting to AWS"):
        return boto3.session.Session(region_name=region).client(service)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns botocore's errors into a sentence that names the action and the way out."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        hint = f"; {HINTS[code]}" if code in HINTS else ""
        raise AwsHelperError(f"AWS refused {what}: {message.rstrip('.')} ({code}){hint}.") from error
    except botocore.exceptions.NoRegionError as error:
        raise AwsHelperError("No AWS region is set: give --region, or run 'aws configure'.") from error
    except botocore.exceptions.NoCredentialsError as error:
        raise AwsHelperError("No AWS credentials were found: run 'aws configure', or set AWS_PROFILE.") from error
    except botocore.exceptions.WaiterError as error:
        reason = error.kwargs.get("reason", error)
        raise AwsHelperError(f"Waiting for {what} ended without success: {reason}.") from error
    except botocore.exceptions.BotoCoreError as error:
        raise AwsHelperError(f"AWS could not be asked for {what}: {error}.") from error


def base_ami(ec2: Any, ssm: Any) -> str:
    """Id of the newest Deep Learning base image (Ubuntu 22.04 or later) of the client's region.

    The published parameter answers first; where it is missing or may not be read, the images of Amazon are listed.

    Raises:
        AwsHelperError: Neither way finds one.
    """
    for name in BASE_AMI_PARAMETERS:
        try:
            return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("ParameterNotFound", "AccessDeniedException"):
                raise
    images = ec2.describe_images(
        Owners=[BASE_AMI_OWNER],
        Filters=[{"Name": "name", "Values": [BASE_AMI_NAME]}, {"Name": "state", "Values": ["available"]}],
    )["Images"]
    if not images:
        raise AwsHelperError(
            f"No Deep Learning base image was found in {ec2.meta.region_name}: name an image with --base-ami-id."
        )
    return str(max(images, key=lambda image: image["CreationDate"])["ImageId"])


def root_device(ec2: Any, image_id: str) -> str:
    """Name of an image's root volume, for example `/dev/sda1`."""
    images = ec2.describe_images(ImageIds=[image_id])["Images"]
    if not images:
        raise AwsHelperError(
            f"There is no image {image_id} in {ec2.meta.region_name}; {HINTS['InvalidAMIID.NotFound']}."
        )
    return str(images[0].get("RootDeviceName") or "/dev/sda1")


def run_instance(
    ec2: Any,
    image_id: str,
    name: str,
    instance_type: str,
    key_name: str,
    security_group: str,
    volume_size: int,
    availability_zone: str | None = None,
    user_data: str | None = None,
    spot: bool = False,
) -> str:
    """Starts one instance: encrypted root volume, IMDSv2 only.

    Args:
        ec2: A boto3 EC2 client.
        image_id: The machine image.
        name: The instance's Name tag.
        instance_type: For example `g4dn.xlarge`.
        key_name: Key pair for SSH.
        security_group: Id of its security group.
        volume_size: Root volume [GB], ends with the instance.
        availability_zone: For example `eu-west-1a`; AWS chooses one if None.
        user_data: Script that the instance runs at its first boot.
        spot: Ask for a spot instance.

    Returns:
        The instance's id; it is still starting.
    """
    request: dict[str, Any] = {
        "ImageId": image_id,
        "InstanceType": instance_type,
        "KeyName": key_name,
        "SecurityGroupIds": [security_group],
        "MinCount": 1,
        "MaxCount": 1,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "BlockDeviceMappings": [
            {
                "DeviceName": root_device(ec2, image_id),
                "Ebs": {"VolumeSize": volume_size, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
            }
        ],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}, {"Key": TAG, "Value": name}]}
            for kind in ("instance", "volume")
        ],
    }
    if availability_zone:
        request["Placement"] = {"AvailabilityZone": availability_zone}
    if user_data:
        request["UserData"] = user_data
    if spot:
        request["InstanceMarketOptions"] = {"MarketType": "spot"}
    return str(ec2.run_instances(**request)["Instances"][0]["InstanceId"])


def wait_for(ec2: Any, waiter: str, what: str, minutes: float, **selection: Any) -> None:
    """Waits, with a progress bar, until EC2 says so.

    Args:
        ec2: A boto3 EC2 client.
        waiter: One of boto3's waiters, for example `instance_status_ok`.
        what: Words for the bar.
        minutes: How long at the most.
        **selection: What to wait for (`InstanceIds`, `ImageIds`).

    Raises:
        AwsHelperError: It took longer, or can't come about any more.
    """
    looks = max(1, int(minutes * 60 / WAIT_INTERVAL))
    with tqdm(total=looks, desc=what, unit="look", disable=None) as bar, explained(what):
        machine = ec2.get_waiter(waiter)
        ec2.meta.events.register_last("after-call.ec2", lambda **_: bar.update(), unique_id="wait-bar")
        try:
            machine.wait(**selection, WaiterConfig={"Delay": WAIT_INTERVAL, "MaxAttempts": looks})
        finally:
            ec2.meta.events.unregister("after-call.ec2", unique_id="wait-bar")


def describe(ec2: Any, instance_id: str) -> dict[str, Any]:
    """What a person wants to know of an instance.

    Returns:
        `instance_id`, `name`, `state`, `type`, `image_id`, `key_name`, `public_ip`, `private_ip`,
        `availability_zone`, `launched` and `security_groups`.
    """
    reservations = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    if not instances:
        raise AwsHelperError(f"There is no instance {instance_id}; {HINTS['InvalidInstanceID.NotFound']}.")
    return _summary(instances[0])


def list_instances(ec2: Any) -> list[dict[str, Any]]:
    """The instances that this program made and that are not terminated, as `describe` tells them."""
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "tag-key", "Values": [TAG]}])
    instances = [
        _summary(instance)
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    return [instance for instance in instances if instance["state"] != "terminated"]


def create_image(ec2: Any, instance_id: str, name: str) -> str:
    """Begins to make a machine image of a stopped instance; its name gets the time, as names must differ."""
    now = datetime.datetime.now(datetime.timezone.utc)
    label = re.sub(r"[^A-Za-z0-9()\[\] ./\-'@_]", "-", f"{name} {now:%Y-%m-%d %H.%M.%S}")
    return str(
        ec2.create_image(
            InstanceId=instance_id,
            Name=label,
            TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": TAG, "Value": name}]}],
        )["ImageId"]
    )


def read_user_data(path: str | None) -> str | None:
    """The text of a first-boot script."""
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AwsHelperError(f"The script {path} for --user-data cannot be read: {error}.") from error


def _summary(instance: dict[str, Any]) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return {
        "instance_id": instance["InstanceId"],
        "name": tags.get("Name", ""),
        "state": instance["State"]["Name"],
        "type": instance["InstanceType"],
        "image_id": instance["ImageId"],
        "key_name": instance.get("KeyName"),
        "public_ip": instance.get("PublicIpAddress"),
        "private_ip": instance.get("PrivateIpAddress"),
        "availability_zone": instance["Placement"]["AvailabilityZone"],
        "launched": str(instance["LaunchTime"]),
        "security_groups": [group["GroupId"] for group in instance.get("SecurityGroups", [])],
    }


def missing_files(paths: Sequence[str]) -> list[str]:
    """Those of the given scripts that are not files."""
    return [path for path in paths if not Path(path).expanduser().is_file()]
