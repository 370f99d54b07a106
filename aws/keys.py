"""EC2 key pairs and the private key files that belong to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import paramiko

from aws.errors import AwsHelperError

KEY_FOLDER = Path("~/rllib_keys")


def key_path(key_name: str) -> Path:
    """Where the private key of a key pair is kept."""
    if not key_name or "/" in key_name or key_name.startswith("."):
        raise AwsHelperError(
            f"'{key_name}' cannot be a key pair's name here: it also names a file, so give one without '/'."
        )
    return KEY_FOLDER.expanduser() / f"{key_name}.pem"


def private_key(key_name: str) -> Path:
    """The private key file of a key pair that must already be there.

    Raises:
        AwsHelperError: There is no such file.
    """
    path = key_path(key_name)
    if not path.is_file():
        raise AwsHelperError(
            f"There is no private key {path} for the key pair '{key_name}': copy it there from the machine that "
            "made the instance, or name another pair with --key-name."
        )
    return path


def ensure_key_pair(ec2: Any, key_name: str) -> Path:
    """Makes the key pair, or reuses the one of that name if its private half lies here.

    Args:
        ec2: A boto3 EC2 client.
        key_name: Name of the key pair, in EC2 and of the file.

    Returns:
        The private key file, mode 0400 in a folder of mode 0700. A file that exists is never written over.

    Raises:
        AwsHelperError: The pair and the file do not belong together, or one of them is missing.
    """
    path = key_path(key_name)
    known = _describe(ec2, key_name)
    if known is None and not path.exists():
        return _create(ec2, key_name, path)
    if known is None:
        ec2.import_key_pair(KeyName=key_name, PublicKeyMaterial=_public_half(path).encode())
        return path
    if not path.exists():
        raise AwsHelperError(
            f"EC2 has a key pair '{key_name}', but its private key {path} is not on this machine: copy it there, "
            "or take another name with --key-name."
        )
    if known.get("PublicKey") and known["PublicKey"].split()[:2] != _public_half(path).split()[:2]:
        raise AwsHelperError(
            f"The key pair '{key_name}' of EC2 and the file {path} are two different keys: "
            "take another name with --key-name, or move the file away."
        )
    return path


def _describe(ec2: Any, key_name: str) -> dict[str, Any] | None:
    filters = [{"Name": "key-name", "Values": [key_name]}]
    pairs = ec2.describe_key_pairs(Filters=filters, IncludePublicKey=True)["KeyPairs"]
    return pairs[0] if pairs else None


def _create(ec2: Any, key_name: str, path: Path) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    # The file is claimed before the pair is made: EC2 shows a private key once, so a failed write would lose it.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400)
    try:
        material = ec2.create_key_pair(KeyName=key_name, KeyType="ed25519")["KeyMaterial"]
        with os.fdopen(descriptor, "w") as file:
            descriptor = -1
            file.write(material)
    except BaseException:
        path.unlink()
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return path


def _public_half(path: Path) -> str:
    """The OpenSSH public key of a private key file."""
    try:
        key = paramiko.PKey.from_path(path)
    except (paramiko.SSHException, ValueError, OSError) as error:
        raise AwsHelperError(f"The private key {path} cannot be read: {error}.") from error
    return f"{key.get_name()} {key.get_base64()}"
