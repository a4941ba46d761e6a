"""The field explorer in Python: what it accepts, and how a chart change moves the start."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from dpofield.formulas import CHARTS
from dpofield.widgets import FieldExplorer
from dpofield.widgets.field_explorer import VIEWS, coordinates, logratios


def together(explorer, values):
    with explorer.hold_trait_notifications():
        for name, value in values.items():
            setattr(explorer, name, value)


def test_every_chart_has_a_view():
    """A chart added to the formulas cannot be forgotten here."""
    assert set(VIEWS) == set(CHARTS)


@pytest.mark.parametrize("chart", CHARTS)
def test_starts_at_the_reference(chart):
    """Training always starts at log-ratios (0, 0), in every chart."""
    explorer = FieldExplorer(chart=chart, beta=0.5)
    assert logratios(chart, explorer.a, explorer.b) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert explorer.beta == 0.5


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"beta": 0.0}, "beta"),
        ({"beta": -1.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"beta": math.inf}, "beta"),
        ({"chart": "polar"}, "chart"),
        ({"a": 0.0}, r"a \(x_1\)"),
        ({"b": -1.0}, r"b \(x_2\)"),
        ({"b": math.nan}, r"b \(x_2\)"),
        ({"chart": "probability", "a": 1.5, "b": 0.1}, r"a \(pi_w\)"),
        ({"chart": "probability", "a": 0.7, "b": 0.6}, "together exceed 1"),
        ({"chart": "log-ratio", "a": math.inf, "b": 0.0}, r"a \(u\)"),
        ({"a": "one"}, "'a' trait"),
    ],
)
def test_bad_values_are_refused_by_name(values, says):
    """At construction and later; later the last good state stays."""
    with pytest.raises(TraitError, match=says):
        FieldExplorer(**values)
    explorer = FieldExplorer(a=0.5, b=1.5)
    with pytest.raises(TraitError, match=says):
        together(explorer, values)
    assert (explorer.chart, explorer.beta, explorer.a, explorer.b) == ("ratio", 0.1, 0.5, 1.5)


@given(st.floats(-2, 0.6), st.floats(-2, 0.6), st.permutations(list(CHARTS)), st.floats(0.01, 3))
def test_chart_change_keeps_the_logratios(u, v, charts, beta):
    """Whatever the order of the charts, the pair stays the pair; beta is not touched."""
    a, b = coordinates("ratio", u, v)
    explorer = FieldExplorer(a=a, b=b, beta=beta)
    for chart in charts:
        explorer.chart = chart
        assert logratios(chart, explorer.a, explorer.b) == pytest.approx((u, v), abs=1e-9)
    assert explorer.beta == beta


def test_a_pair_without_probabilities_moves_to_the_reference():
    """u = 3 would need a probability of 5: the start cannot be kept, so it is the reference."""
    explorer = FieldExplorer(chart="log-ratio", a=3.0, b=0.0)
    explorer.chart = "probability"
    assert logratios("probability", explorer.a, explorer.b) == pytest.approx((0.0, 0.0))


def test_a_page_that_changes_the_chart_has_moved_the_start_itself():
    """In JupyterLab the page sends all together; the start must not be mapped a second time."""
    explorer = FieldExplorer(a=0.5, b=1.5)
    explorer.set_state({"chart": "log-ratio", "a": math.log(0.5), "b": math.log(1.5)})
    assert (explorer.chart, explorer.a, explorer.b) == ("log-ratio", math.log(0.5), math.log(1.5))
    explorer.chart = "ratio"  # and from Python again it is mapped
    assert (explorer.a, explorer.b) == pytest.approx((0.5, 1.5))


def test_a_page_cannot_break_the_state():
    """A wrong message leaves what was there."""
    explorer = FieldExplorer(a=0.5, b=1.5)
    with pytest.raises(TraitError, match="beta"):
        explorer.set_state({"beta": -3.0})
    assert explorer.beta == 0.1
