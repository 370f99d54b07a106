"""What clients draw with the debug helper is kept, bounded, for who asks."""

from __future__ import annotations

import pytest

from minicarla.protocol.values import MalformedValueError
from minicarla.rpc.drawn_shapes import MOST_KEPT, DrawnShapes

POINT = [0, [[1.0, 2.0, 3.0], 0.1]]
RED = [255, 0, 0]


def test_shapes_are_told_once_and_those_that_are_over_to_no_newcomer():
    shapes = DrawnShapes()
    shapes.draw(1, 0.0, [POINT, RED, 0.5, True])
    shapes.draw(1, 0.1, [POINT, RED, -1.0, True])
    assert [shape.number for shape in shapes.since(1, 2.0, 0)] == [2]
    shapes.clear(1, 2.5, "texts")
    assert [(shape.name, shape.text) for shape in shapes.since(1, 3.0, 2)] == [("clear", "texts")]
    assert shapes.since(2, 0.0, 0) == []  # another episode


def test_what_is_kept_is_bounded():
    shapes = DrawnShapes()
    for number in range(MOST_KEPT + 10):
        shapes.draw(1, float(number), [POINT, RED, -1.0, True])
    assert len(shapes.since(1, 0.0, 0)) == MOST_KEPT
    shapes.draw(1, 0.0, [[4, [[1.0, 2.0, 3.0], "x" * 10_000, True]], RED, -1.0, True])
    assert len(shapes.since(1, 0.0, 0)[-1].text) < 1000


@pytest.mark.parametrize("shape", [None, [], [[99, []], RED, 1.0], [POINT, 7, 1.0], [[1, [[0, 0, 0]]], RED, 1.0]])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(MalformedValueError, match="debug shape"):
        DrawnShapes().draw(1, 0.0, shape)
