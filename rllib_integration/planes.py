"""Observations made of planes: pictures and numbers side by side, as networks with convolutions take them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""uint8 (H, W) or (H, W, channels)."""


def join(planes: Sequence[Picture]) -> Picture:
    """Join pictures of one size along the last axis; numpy is several times slower at this.

    Returns:
        uint8 (H, W, sum of the channels).
    """
    return np.asarray(cv2.merge(planes), np.uint8) if len(planes) > 1 else planes[0]


def plane_of(picture: Picture, share: float) -> Picture:
    """A plane of a picture's size, uint8 (H, W), whose brightness shows a number from 0 to 1."""
    return np.full(picture.shape[:2], int(255 * min(max(share, 0.0), 1.0)), np.uint8)
