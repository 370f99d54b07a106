"""Kernels that are called without a look at types still get the types they are given."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from minicarla.kernels.calls import DirectCall


@numba.njit
def _weigh(values, rows, factor):
    total = 0.0
    for value in values:
        total += value
    return factor * total + rows[0].weight


def _rows(kind: type, weight: float) -> np.ndarray:
    return np.array([(7, weight)], [("first", np.uint8), ("weight", kind)])


def test_arrays_of_other_types_and_layouts_are_noticed():
    call = DirectCall(_weigh)
    given = [
        (np.array([1.0, 2.0]), _rows(np.float64, 0.5)),
        (np.array([1.0, 2.0, 4.0]), _rows(np.float64, 0.25)),
        (np.array([3, 4], np.int32), _rows(np.float32, 0.5)),
        (np.arange(10.0)[::3], _rows(np.float64, 0.5)),
    ]
    for arrays in (*given, *given):
        values, rows = arrays
        for factor in (2.0, 3.0):
            assert call(arrays, factor) == factor * values.sum() + rows["weight"][0]
    assert len(_weigh.signatures) == 3


def test_what_changes_in_an_array_is_seen():
    call, arrays = DirectCall(_weigh), (np.zeros(2), _rows(np.float64, 0.0))
    assert call(arrays, 1.0) == 0.0
    arrays[0][:] = 4.0
    assert call(arrays, 1.0) == 8.0


def test_what_no_kernel_takes_is_an_error():
    call = DirectCall(_weigh)
    with pytest.raises(numba.TypingError):
        call((np.zeros(2), np.zeros(2)), 1.0)
