"""A process that asks the kernel to hear of its parent's end."""

from __future__ import annotations

import ctypes

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def set_parent_death_signal(number: int) -> None:
    """Get a signal when the thread that started this process ends; it may have ended before.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the signal for the parent's end was refused")
