"""Calls of kernels that come every tick with the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from operator import is_not
from typing import Any, Generic, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")
Arrays: TypeAlias = "NDArray[np.generic] | tuple[object, ...]"
"""An array, or a named tuple of arrays and numbers."""


class DirectCall(Generic[Result]):
    """A kernel whose arguments' types are looked at when an array is another one, not at each call.

    For arrays of records and tuples of arrays numba takes longer to find out their types than a small kernel runs. Nor
    are they looked at again when actors come and go, and with them arrays, all laid out as those before.
    """

    def __init__(self, kernel: Callable[..., Result]) -> None:
        self._kernel: Any = kernel
        self._arrays: tuple[Arrays, ...] = ()
        self._compiled: Callable[..., Result] = kernel
        self._by_layout: dict[Hashable, Callable[..., Result]] = {}

    def __call__(self, arrays: tuple[Arrays, ...], *numbers: float) -> Result:
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

    def _choose(self, arrays: tuple[Arrays, ...], numbers: tuple[float, ...]) -> Callable[..., Result]:
        layout = _layout(arrays)
        if layout not in self._by_layout:
            signature = tuple(map(numba.typeof, (*arrays, *numbers)))
            self._kernel.compile(signature)
            self._by_layout[layout] = self._kernel.get_overload(signature)
        return self._by_layout[layout]


def _layout(argument: object) -> Hashable:
    """All that numba makes a type of, where there is a quick way to tell; else that type."""
    if isinstance(argument, tuple):
        return type(argument), *map(_layout, argument)
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype, argument.ndim, flags.c_contiguous, flags.f_contiguous, flags.aligned, flags.writeable
    return numba.typeof(argument)
