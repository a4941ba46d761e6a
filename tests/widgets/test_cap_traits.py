"""The cap explorer in Python: what it accepts."""

from __future__ import annotations

import math

import pytest
from traitlets import TraitError

from dpofield.widgets import CapExplorer


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"divergence": "total"}, "'divergence' trait"),
        ({"alpha": math.inf}, "alpha"),
        ({"beta": 0.0}, "beta"),
        ({"a": 0.0}, "a = 0.0"),
        ({"b": math.nan}, "b = nan"),
        ({"time": -1.0}, "time"),
        ({"time": 2e9}, "time"),
    ],
)
def test_bad_values_are_refused_by_name(values, says):
    """At construction and later; later the last good state stays."""
    with pytest.raises(TraitError, match=says):
        CapExplorer(**values)
    caps = CapExplorer("js", a=0.5)
    before = caps.get_state()
    ((name, value),) = values.items()
    with pytest.raises(TraitError, match=says):
        setattr(caps, name, value)
    assert caps.get_state() == before
