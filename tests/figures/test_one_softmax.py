"""One softmax: flow lines, masses and colours."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from dpofield.figures import one_softmax
from dpofield.figures.style import colour


def test_arrows_lead_to_the_preferred(ax: Axes) -> None:
    """pi_w rises and pi_l falls along every line, and the arrow heads show this direction."""
    one_softmax.draw_triangle(ax)
    lines = [line for line in ax.lines if line.get_label() == "path of every margin loss"]
    assert len(lines) == 4
    for line in lines:
        pi_w, pi_l = line.get_xydata().T
        assert (np.diff(pi_w) > 0).all()
        assert (np.diff(pi_l) < 0).all()
        assert (pi_w + pi_l <= 1).all()
    for head in ax.texts:
        assert head.xy[0] > head.xyann[0]
        assert head.xy[1] < head.xyann[1]
    assert "preferred, " in ax.get_xlabel()


def test_masses_add_to_one_in_their_colours(ax: Axes) -> None:
    """The preferred (blue) rises, the dispreferred (orange) falls; a dot marks the rest's peak."""
    one_softmax.draw_masses(ax, [0.1, 0.4, 0.5])
    shown = {line.get_color(): line.get_ydata() for line in ax.lines[:3]}
    up, down = shown[colour("preferred")], shown[colour("dispreferred")]
    np.testing.assert_allclose(up + down + shown[colour("muted")], 1)
    assert (up[0], down[0]) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.4, abs=0.01))
    assert up[-1] > up[0]
    assert down[-1] < down[0]
    assert ax.lines[3].get_ydata()[0] == pytest.approx(shown[colour("muted")].max(), abs=1e-4)
    assert ax.get_xscale() == "log"


def test_a_third_response_takes_the_mass_where_it_shares_more(ax: Axes) -> None:
    """With c = 3 the preferred falls in the end, as the third response rises faster."""
    one_softmax.draw_shared_parameter(ax, 3.0, until=1e4)
    shown = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert shown["preferred"][-1] < shown["preferred"][0]
    assert shown["the rest"][-1] > shown["the rest"][0]
