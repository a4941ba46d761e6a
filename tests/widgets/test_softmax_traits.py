"""One softmax in Python: what the figure accepts."""

from __future__ import annotations

import math

import pytest
from traitlets import TraitError

from dpofield.widgets import OneSoftmax


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"start": [0.5, 0.5]}, "start has 2 responses"),
        ({"start": [0.2, 0.2, 0.2]}, "start sums to 0.6"),
        ({"start": [1.0, 0.0, 0.0]}, "start = 1.0"),
        ({"w": 5}, "w = 5"),
        ({"l": 0}, "w = l = 0"),
        ({"beta": 0.0}, "beta"),
        ({"margin": -1.0}, "margin"),
        ({"margin": math.nan}, "margin"),
    ],
)
def test_bad_values_are_refused_by_name(values, says):
    """At construction and later; later the last good state stays."""
    with pytest.raises(TraitError, match=says):
        OneSoftmax(**values)
    figure = OneSoftmax(margin=2.0)
    before = figure.get_state()
    ((name, value),) = values.items()
    with pytest.raises(TraitError, match=says):
        setattr(figure, name, value)
    assert figure.get_state() == before


def test_a_page_can_change_several_at_once():
    """Fewer responses with another pair, and a swapped pair, arrive as one change."""
    figure = OneSoftmax(w=4)
    figure.set_state({"start": [0.2, 0.3, 0.5], "w": 0, "margin": 0.0})
    assert (figure.start, figure.w) == ([0.2, 0.3, 0.5], 0)
    figure.set_state({"w": 1, "l": 0})
    assert (figure.w, figure.l) == (1, 0)
