"""Bradley-Terry in Python: what it accepts."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from dpofield.widgets import BradleyTerry


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"r_w": float("inf")}, "finite"),
        ({"r_l": float("nan")}, "finite"),
        ({"n": 0}, "1 to 10000"),
        ({"n": 10_001}, "1 to 10000"),
        ({"n": 6}, "nobody wins more often"),
        ({"wins": 11}, "nobody wins more often"),
        ({"wins": -1}, "counted"),
        ({"beta": 0.0}, "beta"),
    ],
)
def test_refuses(values, says):
    """A wrong value is refused with a reason, and the old one stays."""
    figure = BradleyTerry()
    before = figure.get_state(list(values))
    with pytest.raises(TraitError, match=says):
        figure.set_trait(*next(iter(values.items())))
    assert figure.get_state(list(values)) == before


def test_counts_change_together():
    """The page sends both at once."""
    figure = BradleyTerry()
    figure.set_state({"n": 3, "wins": 3})
    figure.set_state({"n": 100, "wins": 70})
    assert (figure.n, figure.wins) == (100, 70)
    with pytest.raises(TraitError):
        figure.set_state({"n": 2, "wins": 3})
