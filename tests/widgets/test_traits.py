"""The figures in Python: valid and invalid values, and the effects of one trait on the others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from dpofield import widgets
from dpofield.field import coordinates, logratios
from dpofield.formulas import CHARTS, LOSSES
from dpofield.widgets import FieldExplorer, LawOfMotion, LossGallery, OneSoftmax
from dpofield.widgets.field_explorer import VIEWS
from dpofield.widgets.loss_gallery import EXAMPLE

ONE = {"name": "one", "ww": 4.0, "wl": 2.0, "ll": 9.0}
# For each figure: a valid state, and invalid values with a part of the message.
REFUSED = {
    "BradleyTerry": (
        {"n": 10, "wins": 7},
        [
            ({"r_w": math.inf}, "finite"),
            ({"r_l": math.nan}, "finite"),
            ({"n": 0}, "1 to 10000"),
            ({"n": 10_001}, "1 to 10000"),
            ({"n": 6}, "wins cannot exceed"),
            ({"wins": 11}, "wins cannot exceed"),
            ({"n": 2, "wins": 3}, "wins cannot exceed"),
            ({"wins": -1}, "counted"),
            ({"beta": 0.0}, "beta"),
        ],
    ),
    "CapExplorer": (
        {"divergence": "js", "a": 0.5},
        [
            ({"divergence": "total"}, "'divergence' trait"),
            ({"alpha": math.inf}, "alpha"),
            ({"beta": 0.0}, "beta"),
            ({"a": 0.0}, "a = 0.0"),
            ({"b": math.nan}, "b = nan"),
            ({"time": -1.0}, "time"),
            ({"time": 2e9}, "time"),
        ],
    ),
    "FieldExplorer": (
        {"a": 0.5, "b": 1.5},
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
    ),
    "LawOfMotion": (
        {"presets": [ONE]},
        [
            ({"pace": 0.0}, "pace"),
            ({"wx": math.nan}, "wx"),
            ({"wx": 0.0, "wy": 0.0}, "length 0"),
            ({"preset": 1}, "there are 1"),
            ({"presets": [ONE | {"wl": 6.1}]}, "Cauchy-Schwarz"),
            ({"presets": [ONE | {"ww": 0.0, "wl": 0.0}]}, "ww of preset 'one'"),
            ({"presets": [{"name": "x"}]}, "a preset holds"),
        ],
    ),
    "LossGallery": (
        {"u": 1.0},
        [
            ({"a": "nope"}, "'a' trait"),
            ({"params_a": {"beta": 0.0}}, "beta"),
            ({"params_a": {"gamma": 1.0}}, r"takes \['beta'\]"),
            ({"params_b": {"lam": -1.0}}, "lam"),
            ({"u": math.nan}, "u = nan"),
            ({"u": 31.0}, "exceed 1"),
            ({"window": 0.0}, "window"),
            ({"pair": EXAMPLE | {"len_w": 0.0}}, "len_w"),
            ({"pair": {"ref_w": -1.0}}, "pair holds"),
            ({"u": 2.0, "pair": EXAMPLE | {"ref_w": -1.0}}, "exceed 1"),
        ],
    ),
    "OneSoftmax": (
        {"margin": 2.0},
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
    ),
    "RoomAndPrice": (
        {"pairs": "best", "n": 8},
        [
            ({"pairs": "all"}, "'pairs' trait"),
            ({"policy": "ppo"}, "'policy' trait"),
            ({"margin": -1.0}, "margin"),
            ({"margin": math.nan}, "margin"),
            ({"noise": 3.0}, "noise"),
            ({"sd": 0.0}, "sd"),
            ({"n": 1}, "n"),
            ({"n": 17}, "n"),
        ],
    ),
    "RunPlayer": (
        {"record": 2, "pair": 1},
        [
            ({"record": 99}, "record = 99: there are"),
            ({"record": -1}, "counted from 0"),
            ({"pair": -1}, "pair = -1: there are"),
            ({"chart": "logit"}, "chart"),
            ({"beta": 0.0}, "beta"),
        ],
    ),
}
CASES = [
    pytest.param(name, good, bad, says, id=f"{name}-{says}")
    for name, (good, cases) in REFUSED.items()
    for bad, says in cases
]


def together(figure, values):
    with figure.hold_trait_notifications():
        for name, value in values.items():
            setattr(figure, name, value)


def test_every_figure_is_here():
    """Every registered figure is tested below."""
    assert set(REFUSED) == set(widgets.__all__)


@pytest.mark.parametrize(("name", "good", "bad", "says"), CASES)
def test_bad_values_are_refused_by_name(name, good, bad, says):
    """At construction, later, and from the page; after a refusal the last good state remains."""
    kind = getattr(widgets, name)
    with pytest.raises(TraitError, match=says):
        kind(**good | bad)
    figure = kind(**good)
    before = figure.get_state()
    for change in (lambda values: together(figure, values), figure.set_state):
        with pytest.raises(TraitError, match=says):
            change(bad)
        assert figure.get_state() == before


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("BradleyTerry", [{"n": 3, "wins": 3}, {"n": 100, "wins": 70}]),
        ("OneSoftmax", [{"start": [0.2, 0.3, 0.5], "w": 0, "margin": 0.0}, {"w": 1, "l": 0}]),
        ("FieldExplorer", [{"chart": "log-ratio", "a": math.log(0.5), "b": math.log(1.5)}]),
        (
            "LawOfMotion",
            [{"preset": 0, "wx": 1.2, "wy": 1.6, "lx": 0.5, "ly": 2.0}, {"preset": -1, "lx": 0.75}],
        ),
        ("LossGallery", [{"a": "ipo", "params_a": {"beta": 0.3}}]),
    ],
)
def test_a_page_changes_several_at_once(name, messages):
    """Traits that the page sends together are set unchanged: after a change of chart, preset or
    loss, the page has already moved the traits that Python would move. No other trait changes."""
    begin = {"OneSoftmax": {"w": 4}, "LawOfMotion": {"presets": [ONE]}}.get(name, {})
    figure = getattr(widgets, name)(**begin)
    for message in messages:
        expected = figure.get_state() | message
        figure.set_state(message)
        assert figure.get_state() == expected


def test_every_chart_has_a_view():
    """A chart added to the formulas must have a view here."""
    assert set(VIEWS) == set(CHARTS)


@pytest.mark.parametrize("chart", CHARTS)
def test_starts_at_the_reference(chart):
    """Training always starts at log-ratios (0, 0), in every chart."""
    explorer = FieldExplorer(chart=chart, beta=0.5)
    assert logratios(chart, explorer.a, explorer.b) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert explorer.beta == 0.5


@given(st.floats(-2, 0.6), st.floats(-2, 0.6), st.permutations(list(CHARTS)), st.floats(0.01, 3))
def test_chart_change_keeps_the_logratios(u, v, charts, beta):
    """In any order of charts, the pair keeps its log-ratios; beta does not change."""
    a, b = map(float, coordinates("ratio", u, v))
    explorer = FieldExplorer(a=a, b=b, beta=beta)
    for chart in charts:
        explorer.chart = chart
        assert logratios(chart, explorer.a, explorer.b) == pytest.approx((u, v), abs=1e-9)
    assert explorer.beta == beta


def test_from_python_again_the_start_is_mapped():
    """A change from Python moves the start, even after a message from the page."""
    explorer = FieldExplorer(a=0.5, b=1.5)
    explorer.set_state({"chart": "log-ratio", "a": math.log(0.5), "b": math.log(1.5)})
    explorer.chart = "ratio"
    assert (explorer.a, explorer.b) == pytest.approx((0.5, 1.5))


def test_a_pair_without_probabilities_moves_to_the_reference():
    """u = 3 needs a probability of 5, so the start moves to the reference."""
    explorer = FieldExplorer(chart="log-ratio", a=3.0, b=0.0)
    explorer.chart = "probability"
    assert logratios("probability", explorer.a, explorer.b) == pytest.approx((0.0, 0.0))


@given(st.floats(0.01, 500), st.floats(-1, 1), st.floats(0.01, 500))
def test_a_preset_has_its_kernel(ww, cosine, ll):
    """The vectors set by a preset have its inner products."""
    wl = cosine * math.sqrt(ww * ll)
    law = LawOfMotion(presets=[{"name": "pair", "ww": ww, "wl": wl, "ll": ll}])
    assert law.wx == 1.0
    law.preset = 0
    assert law.wx**2 + law.wy**2 == pytest.approx(ww)
    assert law.wx * law.lx + law.wy * law.ly == pytest.approx(wl)
    assert law.lx**2 + law.ly**2 == pytest.approx(ll)


@pytest.mark.parametrize("name", LOSSES)
def test_takes_every_loss_with_its_own_parameters(name):
    """On either side, with the defaults given by name."""
    defaults = LOSSES[name].defaults
    gallery = LossGallery(name, name, params_a=defaults, params_b=defaults)
    assert gallery.params_a == gallery.params_b == defaults


def test_another_loss_starts_at_its_defaults():
    """If the loss is set from Python, or from a page that sends no parameters."""
    gallery = LossGallery("dpo", params_a={"beta": 0.7})
    gallery.a = "kto"
    assert gallery.params_a == {}
    gallery.params_a = {"beta": 0.7}
    gallery.set_state({"a": "sft"})
    assert gallery.params_a == {}


def test_an_edited_module_is_taken_over(tmp_path, monkeypatch):
    """`reload` sends the current files in `js/` to every open view, and keeps the state."""
    figure = OneSoftmax(margin=2.0)
    before, sent = figure._esm, []
    figure.send_state = lambda key=None: sent.append(key)
    monkeypatch.setattr(widgets.figure, "FOLDER", tmp_path)
    (tmp_path / "one_softmax.js").write_text("export default { render() {} };\n")
    for name in ("figure", "one_softmax"):
        (tmp_path / f"{name}.css").write_text("")
    figure.reload()
    assert "render() {}" in figure._esm != before
    assert sent
    assert figure.margin == 2.0
