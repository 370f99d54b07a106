"""What has to be set in a process before it imports Ray, and what it is told afterwards."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from pathlib import Path


def prepare_for_ray(auto: bool = False) -> None:
    """Set environment variables and warning filters; call it before Ray is first imported.

    A Ray of this machine alone listens on loopback and asks for a token that only this process and its children
    know. A cluster's token is in the user's token file, if the cluster asks for one.

    Args:
        auto: Whether a running cluster will be joined.
    """
    if auto:
        has_token = Path("~/.ray/auth_token").expanduser().exists()
        os.environ.setdefault("RAY_AUTH_MODE", "token" if has_token else "disabled")
    else:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Without it Ray turns 127.0.0.1 into the machine's address and listens on all of its interfaces.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("GYMNASIUM_DISABLE_WARNINGS", "1")
    warnings.filterwarnings("ignore")


def quiet_ray() -> None:
    """Keep Ray from explaining its own defaults at length; importing it sets its loggers up anew."""
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
