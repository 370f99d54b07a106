"""The security group of our instances: SSH from one address, everything among themselves, nothing else."""

from __future__ import annotations

import ipaddress
import os
import urllib.error
import urllib.request
from typing import Any

from aws.errors import AwsHelperError

# AWS's own answer to "from which address do I come?"; a private network may run its own, named by the variable.
ADDRESS_SERVICE = "https://checkip.amazonaws.com"
ADDRESS_SERVICE_VARIABLE = "CARLA_RLLIB_ADDRESS_SERVICE"
SSH_PORT = 22


def caller_cidr() -> str:
    """The public address that this machine's connections come from, as a /32 or /128 block."""
    try:
        service = os.environ.get(ADDRESS_SERVICE_VARIABLE, ADDRESS_SERVICE)
        with urllib.request.urlopen(service, timeout=10) as reply:
            text = reply.read(64).decode("ascii", "replace").strip()
        return str(ipaddress.ip_network(text))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise AwsHelperError(
            f"Your public address could not be found ({error}): say from where SSH is allowed, "
            "for example --ssh-cidr 203.0.113.7/32."
        ) from error


def checked_cidr(text: str) -> str:
    """A block of addresses as given with --ssh-cidr.

    Raises:
        AwsHelperError: It is not a block of addresses.
    """
    try:
        return str(ipaddress.ip_network(text, strict=True))
    except ValueError as error:
        raise AwsHelperError(
            f"--ssh-cidr {text} is not a block of addresses ({error}): write it as 203.0.113.7/32 or 2001:db8::/48."
        ) from error


def ensure_security_group(ec2: Any, name: str, cidr: str) -> str:
    """Makes the security group, or reuses the one of that name if it lets in what it should and no more.

    Args:
        ec2: A boto3 EC2 client.
        name: Name of the group in the region's default VPC.
        cidr: The block of addresses that may use SSH.

    Returns:
        The group's id.

    Raises:
        AwsHelperError: There is no default VPC, or a group of that name has other rules.
    """
    vpc = _default_vpc(ec2)
    group = find_security_group(ec2, name, vpc)
    if group is None:
        return _create(ec2, name, vpc, cidr)
    _require_fit(group, name, cidr)
    return str(group["GroupId"])


def find_security_group(ec2: Any, name: str, vpc: str) -> dict[str, Any] | None:
    """EC2's description of the group of that name in that VPC, or None."""
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return groups[0] if groups else None


def _default_vpc(ec2: Any) -> str:
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise AwsHelperError(
            f"The region {ec2.meta.region_name} has no default VPC: make one with "
            "'aws ec2 create-default-vpc', or take another region with --region."
        )
    return str(vpcs[0]["VpcId"])


def _create(ec2: Any, name: str, vpc: str, cidr: str) -> str:
    group = ec2.create_security_group(
        GroupName=name, VpcId=vpc, Description="CARLA-RLlib: SSH from one address, everything within the group"
    )["GroupId"]
    try:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_ssh_rule(cidr), _inside_rule(group)])
    except BaseException:
        ec2.delete_security_group(GroupId=group)
        raise
    return str(group)


def _ssh_rule(cidr: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": SSH_PORT, "ToPort": SSH_PORT}
    if ipaddress.ip_network(cidr).version == 6:
        return rule | {"Ipv6Ranges": [{"CidrIpv6": cidr}]}
    return rule | {"IpRanges": [{"CidrIp": cidr}]}


def _inside_rule(group: str) -> dict[str, Any]:
    """Ray's nodes talk to each other on many ports."""
    return {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}


def _require_fit(group: dict[str, Any], name: str, cidr: str) -> None:
    admitted = set()
    for rule in group["IpPermissions"]:
        blocks = [entry["CidrIp"] for entry in rule.get("IpRanges", [])]
        blocks += [entry["CidrIpv6"] for entry in rule.get("Ipv6Ranges", [])]
        blocks += [entry["PrefixListId"] for entry in rule.get("PrefixListIds", [])]
        ports = (rule.get("FromPort"), rule.get("ToPort"))
        if blocks and (rule["IpProtocol"] != "tcp" or ports != (SSH_PORT, SSH_PORT)):
            where = f"ports {ports[0]} to {ports[1]}" if "FromPort" in rule else "all ports"
            raise AwsHelperError(
                f"The security group '{name}' ({group['GroupId']}) lets {', '.join(blocks)} in on {where}; only SSH "
                "(22) is meant to be open: remove that rule, or name another group with --security-group-name."
            )
        admitted.update(blocks)
    if admitted != {cidr}:
        raise AwsHelperError(
            f"The security group '{name}' ({group['GroupId']}) lets in {', '.join(sorted(admitted)) or 'nobody'} by "
            f"SSH, not {cidr}: change its rule, give the block it has with --ssh-cidr, or name another group with "
            "--security-group-name."
        )
