"""How many replicas metrics ask for, and how fast an autoscaler may get there."""

import pytest

from sampan.controllers.autoscaling_math import Memory, limited, replicas_for, stabilized

ONE = {"a": 1.0, "b": 1.0, "c": 1.0}


@pytest.mark.parametrize(
    ("used", "missing", "current", "wanted"),
    [
        ({"a": 0.5, "b": 0.5}, (), 2, 2),  # at the target
        ({"a": 0.54, "b": 0.54}, (), 2, 2),  # within a tenth of it
        ({"a": 1.0, "b": 1.0}, (), 2, 4),
        ({"a": 0.1, "b": 0.1}, (), 2, 1),
        ({"a": 0.6, "b": 0.6}, ("c",), 3, 3),  # the missing one counts as idle: no need for more
        ({"a": 1.5, "b": 1.5}, ("c",), 3, 6),
        ({"a": 0.1, "b": 0.1}, ("c",), 3, 2),  # … and as busy when fewer are wanted
    ],
)
def test_counts(used, missing, current, wanted):
    assert replicas_for(0.5, used, ONE, missing, current) == wanted


def test_going_down_waits_for_the_window_and_going_up_does_not():
    memory = Memory(recommended=[(0.0, 9), (100.0, 5)])
    assert stabilized({}, memory, 150.0, 9, 2) == 9
    assert stabilized({}, memory, 350.0, 9, 2) == 5
    assert stabilized({}, memory, 500.0, 9, 2) == 2
    assert stabilized({}, memory, 150.0, 9, 20) == 20
    slow = {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}
    assert stabilized(slow, Memory(recommended=[(0.0, 3)]), 50.0, 2, 9) == 3


def test_policies_limit_the_steps():
    assert limited({}, Memory(), 0.0, 1, 50) == 5  # four pods
    assert limited({}, Memory(), 0.0, 10, 50) == 20  # or twice as many
    assert limited({}, Memory(changes=[(0.0, 4)]), 10.0, 5, 50) == 5  # not again in the same period
    assert limited({}, Memory(changes=[(0.0, 4)]), 20.0, 5, 50) == 10
    down = {"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}}
    assert limited(down, Memory(), 0.0, 10, 2) == 9
    assert limited({"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}, Memory(), 0.0, 10, 2) == 10
