"""The helpers of the original integration under their old names."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import overlay
from rllib_integration.run_folder import find_latest_checkpoint
from rllib_integration.training.checkpoints import get_checkpoint
from rllib_integration.training.tensorboard import launch_tensorboard

__all__ = ["find_latest_checkpoint", "get_checkpoint", "join_dicts", "launch_tensorboard", "post_process_image"]


def post_process_image(
    image: NDArray[np.uint8], normalized: bool = True, grayscale: bool = True
) -> NDArray[np.integer | np.floating]:
    """Prepare a picture for a network.

    Args:
        image: uint8 (H, W, 3), RGB.
        normalized: Scale 0..255 to -1..1 as float32.
        grayscale: Keep the luminance only.

    Returns:
        (H, W, 1) if `grayscale`, else (H, W, 3); float32 if `normalized`, else uint8.
    """
    prepared: NDArray[np.integer | np.floating] = image
    if grayscale:
        prepared = cv2.cvtColor(prepared, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]
    if normalized:
        return (prepared.astype(np.float32) - 128.0) / 128.0
    return prepared.astype(np.uint8)


def join_dicts(d: Settings, u: Settings) -> Record:
    """Lay the nested dictionary `u` over `d`.

    Neither is modified, and the result shares no list or dictionary with them. A dictionary over a plain value
    replaces it, as a plain value replaces a dictionary.
    """
    return overlay(d, u)
