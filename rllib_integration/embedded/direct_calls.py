"""Calls of kernels that come every tick with the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_not
from typing import Any

import numba


class DirectCall:
    """A kernel whose arguments' types are looked at when an array is another one, not at each call.

    For arrays of records and tuples of arrays numba takes longer to find out their types than a small kernel runs.
    """

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._arrays: tuple[Any, ...] = ()
        self._compiled: Callable[..., Any] = kernel

    def __call__(self, arrays: tuple[Any, ...], *numbers: float) -> Any:
        """Call the kernel.

        Args:
            arrays: Its first arguments: arrays, which keep type and layout as long as they live, or tuples of them.
            numbers: The rest; each always of the same type.
        """
        known = self._arrays
        if len(arrays) != len(known) or any(map(is_not, arrays, known)):
            self._compiled = self._choose(arrays, numbers)
            self._arrays = arrays
        return self._compiled(*arrays, *numbers)

    def _choose(self, arrays: tuple[Any, ...], numbers: tuple[float, ...]) -> Callable[..., Any]:
        signature = tuple(map(numba.typeof, (*arrays, *numbers)))
        self._kernel.compile(signature)
        compiled: Callable[..., Any] = self._kernel.get_overload(signature)
        return compiled
