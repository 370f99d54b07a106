"""Puts the ids of a machine image into a Ray cluster file, keeping its comments and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aws.errors import AwsHelperError


def load(path: Path) -> tuple[YAML, Any]:
    """Reads a cluster file for changing.

    Raises:
        AwsHelperError: It can't be read, or has no node types.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        document = yaml.load(path)
    except (OSError, YAMLError) as error:
        raise AwsHelperError(f"The cluster file {path} cannot be read: {error}.") from error
    if not isinstance(document, dict) or not document.get("available_node_types"):
        raise AwsHelperError(f"The cluster file {path} has no 'available_node_types': is it a file for 'ray up'?")
    return yaml, document


def write_ids(
    path: Path, image_id: str, security_groups: list[str], key_name: str, key_file: Path, region: str
) -> None:
    """Writes image, security groups and key of `create-image` into every node type of a cluster file.

    Args:
        path: The cluster file, changed in place.
        image_id: Goes to `ImageId`.
        security_groups: Go to `SecurityGroupIds`.
        key_name: Goes to `KeyName`.
        key_file: Goes to `auth.ssh_private_key`.
        region: Goes to `provider.region`; an availability zone of another region is dropped.
    """
    yaml, document = load(path)
    for node_type in document["available_node_types"].values():
        config = node_type.setdefault("node_config", {})
        config["ImageId"] = image_id
        config["SecurityGroupIds"] = list(security_groups)
        config["KeyName"] = key_name
    document.setdefault("auth", {})["ssh_private_key"] = str(key_file)
    provider = document.setdefault("provider", {"type": "aws"})
    provider["region"] = region
    if not str(provider.get("availability_zone", region)).startswith(region):
        del provider["availability_zone"]
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w") as file:
        yaml.dump(document, file)
    temporary.replace(path)
