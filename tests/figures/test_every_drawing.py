"""Every drawing has units, colours with a dark-page version, and legible text."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from dpofield import figures
from dpofield.experiments.findings.robustness import SHAPES
from dpofield.field import flow
from dpofield.field.price import Course
from dpofield.figures import notes, style
from dpofield.formulas import DIVERGENCES, LOSSES

HOUSE = {found.name: import_module(f"{figures.__name__}.{found.name}")
         for found in iter_modules(figures.__path__)}  # fmt: skip
DRAWINGS: dict[str, Callable[..., object]] = {
    f"{module}.{name}": function
    for module, here in HOUSE.items()
    for name, function in inspect.getmembers(here, inspect.isfunction)
    if name.startswith("draw_") and function.__module__ == here.__name__
}

LINE = np.array([0.0, 1.0, 2.0])
UP = np.array([[0.5, 0.2, 0.7], [0.3, 0.1, 0.6]])  # two intervals
FLOW = flow("dpo", "ratio", beta=1.0)
BOTH = {"preferred": LINE, "dispreferred": -LINE}
COURSE = Course(LINE, LINE / 10, -9 * LINE / 10, LINE**2)

NEEDS: dict[str, tuple[object, ...] | dict[str, object]] = {
    "corollary_1.draw_ratio_regions": (),
    "corollary_1.draw_time_course": {"line": FLOW, "labels": ("$x_1$", "$x_2$")},
    "cover.draw_cover": (),
    "divergences.draw_balance": {"chart": "ratio", "beta": 0.1},
    "divergences.draw_caps": (),
    "divergences.draw_clocks": ({"chi2": flow("chi2", "ratio")},),
    "edit_distance.draw_distances": ({"1": UP[0], "any": UP[1]}, "matched"),
    "edit_distance.draw_dots": {"x": LINE, "y": LINE, "distance": ["1", "2", "any"], "rho": 1.0},
    "field.draw_field": (),
    "field.draw_flow": (FLOW,),
    "field.draw_start": (),
    "four_charts.draw_margins": {"lines": {"ratios": FLOW}, "beta": 1.0},
    "four_charts.draw_pairs": {"chart": "logit", "beta": 0.5},
    "four_charts.draw_two_courses": {"line": FLOW, "beta": 1.0},
    "intervals.draw_along": {"place": [0, 1], "intervals": UP, "look": ("model", "s"),
                             "line": "-", "label": "a"},
    "intervals.draw_intervals": (["a", "b"], {"x": UP, "y": UP}),
    "laboratory.draw_changes": (LINE, np.ones((3, 2)), np.zeros((3, 2))),
    "laboratory.draw_sft": {"curves": {"weak": [9.0, 8.0]}, "floor": 7.5, "smooth": 1},
    "laboratory.draw_tree": (["a", ":"], ["b", "c"], ["b", "d", "c"]),
    "law_of_motion.draw_law": (BOTH, BOTH),
    "law_of_motion.draw_miss": {"lrs": [1e-3, 1e-2], "miss": [[1e-3, 2e-3], [1e-2, 2e-2]],
                                "limit": 1e-2},
    "law_of_motion.draw_miss_counts": {"miss": [1e-6, 1e-5, 2e-5], "limit": 1e-3},
    "law_of_motion.draw_pairs_in_plane": ({"one word": ([0.8], [1.1])},),
    "law_of_motion.draw_regions": (),
    "law_of_motion.draw_step_sizes": (LINE[1:], {"preferred": 1.0}, *[{"preferred": LINE[1:]}] * 2),
    "loss_zoo.draw_gallery": ([LOSSES[name] for name in ("dpo", "sft", "sppo")],),
    "loss_zoo.draw_push": ("sppo",),
    "loss_zoo.draw_speeds": ({"dpo": "text", "ipo": "model"},),
    "numeric_checks.draw_precision": (LINE, *[LINE + 1] * 2, LINE + 2),
    "numeric_checks.draw_step_size": ([1e-3, 1e-2], {"forward": [1e-3, 1e-2]}),
    "one_softmax.draw_masses": ([0.1, 0.4, 0.5],),
    "one_softmax.draw_shared_parameter": (3.0,),
    "one_softmax.draw_triangle": (),
    "preferences.draw_likelihood": ([(7, 3), (3, 0)],),
    "preferences.draw_ridge": (7, 3),
    "ratios_and_fields.draw_loss_curves": ({"A": [0.7, 0.6]},),
    "ratios_and_fields.draw_paths": ({"A": ([1, 1.1, 1.2], [1, 0.9, 0.8])},),
    "ratios_and_fields.draw_reachable": (0.4, 0.5, [1.0], [1.0]),
    "reading_the_field.draw_components": ([0.1, 1.0],),
    "reading_the_field.draw_extinction": (),
    "reading_the_field.draw_magnitude": (),
    "remedies.draw_against": (["IPO", "RPO"], {"worst": UP}),
    "remedies.draw_frontier": ({"dpo": [[1, 0.5]], "ipo": [[1, 0.2]]}, {"dpo": "DPO"}, 0.0),
    "rlhf_to_dpo.draw_optimum": ([0.1, 1.0], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"]),
    "rlhf_to_dpo.draw_recovery": ([1, 2], [[0, 0], [1, -1]], [1.0, -1.0], ["a", "b"]),
    "room_and_price.draw_accounts": (LINE, {"u": (LINE, LINE / 9)}, {"by KL": (LINE, -LINE)}),
    "room_and_price.draw_plane": (COURSE, 0.2, {"optimum": COURSE}, {"reference": [0, 0]}),
    "room_and_price.draw_prices": ({"least": COURSE},),
    "robustness.draw_shapes": (["a", "b"], {"main": UP}),
    "sft_quality.draw_levels": ([0, 25], [0, 25], UP, "on-policy"),
    "sft_quality.draw_pace": ([1, 2], [5, 9], [25, 50], [True, False]),
    "sft_quality.draw_paths": ({0: [[0, 0], [2, 1]], 25: [[0, 0], [2, -1]]},),
    "sft_quality.draw_predictions": (["push", "kernel"], {"pairs": UP}),
    "theorem_1.draw_slices": {"betas": (0.1, 1.0)},
    "training_field.draw_by_margin": {"margins": LINE, "u": [LINE], "v": [-LINE], "share": 0.5,
                                      "circle": True},
    "training_field.draw_magnitudes": (LINE, -LINE, LINE + 1),
    "training_field.draw_parts": ({"AdamW": {"own": UP[0], "together": UP[1]}},),
    "training_field.draw_probability_arrows": (LINE - 9, LINE - 9),
    "training_field.draw_quotients": (LINE + 1, -LINE, [True, False, False]),
    "training_field.draw_speeds": {"magnitude": LINE + 1, "speeds": {"a": LINE + 1}, "bins": 3},
    "training_field.draw_terms": (LINE, {"own": [LINE], "together": [LINE]}),
    "training_field.draw_verdicts": ({"law": [0.9, 0.05, 0.05]},),
    "training_field.draw_ways": [np.ones((3, 2))] * 4,
    "where_the_mass_goes.draw_grammar_and_leak": (LINE, LINE, {"a": ([1, 1, 0], "model", "o")}),
    "where_the_mass_goes.draw_leaders": ([0.1, 0.1], [0.2, 0.1], ["same", "both"], {}),
    "where_the_mass_goes.draw_shares": (["a"], {"preferred": ([0.5], [0.5])}, {}),
    "where_the_mass_goes.draw_who_falls": (LINE, {"a": [UP[0]] * 3}),
}  # fmt: skip
"""The arguments of each drawing in these tests."""

PARTLY = {
    "edit_distance.draw_distances", "edit_distance.draw_dots", "field.draw_flow",
    "field.draw_start", "intervals.draw_along", "intervals.draw_intervals",
    "law_of_motion.draw_law", "law_of_motion.draw_pairs_in_plane", "loss_zoo.draw_push",
    "remedies.draw_against", "remedies.draw_frontier", "robustness.draw_shapes",
    "sft_quality.draw_levels", "sft_quality.draw_pace", "training_field.draw_ways",
}  # fmt: skip
"""Drawings for axes of several quantities: the page labels the axis that they leave unlabelled."""

NO_AXES = {"laboratory.draw_tree"}

UNITS = (
    r"\(.*\b(nats?|1/nat|log-odds|units?|tokens?|step|steps)\b.*\)|^nats$"
    r"|probability|ratio|share|error|loss|step|mass|correlation|K_|coordinate|log-probabilities"
    r"|reward|gradient|way|Delta|pi_|x_\{?[12]|z_\{?[wl]|\$[uv]\$|push"
)
"""A unit, or a quantity without one."""


HEAT = {notes.INK_ON_HEAT, notes.PALE_ON_HEAT}
LIGHT = {light.lower() for light, _ in style.PALETTE.values()}
BOTH_PAGES = HEAT | {to_hex(style.MAGNITUDE(i)) for i in range(style.MAGNITUDE.N)}


def test_every_drawing_is_tried():
    """`NEEDS` has exactly one row per `draw_` function."""
    assert set(NEEDS) == set(DRAWINGS)
    assert set(DRAWINGS) >= PARTLY | NO_AXES


@pytest.mark.parametrize("name", NEEDS)
def test_a_drawing_can_be_read_on_both_pages(name: str, fig: Figure) -> None:
    """Something is drawn, in colours with a dark-page version; axes have units; text is legible."""
    function, given = DRAWINGS[name], NEEDS[name]
    first = next(iter(inspect.signature(function).parameters))
    axes = {"ax": lambda: [fig.gca()], "left": lambda: fig.subplots(1, 2)}.get(first, list)()
    more = given if isinstance(given, dict) else {}
    result = function(*axes, *(() if more else given), **more)
    fig = result if isinstance(result, Figure) else fig
    page = io.StringIO()
    fig.savefig(page, format="svg", bbox_inches=None)

    assert any([*ax.lines, *ax.collections, *ax.patches, *ax.images, *ax.texts] for ax in fig.axes)
    used = {found.lower() for found in re.findall(r"#[0-9a-fA-F]{6}\b", page.getvalue())}
    assert used & LIGHT
    assert used <= LIGHT | BOTH_PAGES
    if name not in PARTLY | NO_AXES:
        named = [ax for ax in fig.axes if ax.get_xlabel()]
        assert named
        for ax in named:
            assert ax.get_ylabel() or all(text.get_text() for text in ax.get_yticklabels())
            for label in filter(None, (ax.get_xlabel(), ax.get_ylabel())):
                assert re.search(UNITS, label), f"no unit: {label}"
    for text in fig.findobj(Text):
        assert text.get_fontsize() >= 8 or not text.get_text().strip(), text.get_text()
    room = fig.bbox.padded(1)
    for text in (text for ax in fig.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)):
        box = text.get_window_extent()
        if text.get_text():
            assert room.contains(box.x0, box.y0), text.get_text()
            assert room.contains(box.x1, box.y1), text.get_text()


def test_looks_reach_for_what_there_is_today() -> None:
    """Each divergence and each model of the robustness plan has a look."""
    assert set(HOUSE["divergences"].LOOKS) == set(DIVERGENCES)
    assert set(HOUSE["robustness"].SHAPES) >= set(SHAPES)


@pytest.mark.parametrize(
    ("module", "table"),
    [
        ("divergences", "LOOKS"),
        ("edit_distance", "KINDS"),
        ("remedies", "MARKED"),
        ("robustness", "SHAPES"),
        ("sft_quality", "SOURCES"),
        ("where_the_mass_goes", "LEADERS"),
    ],
)
def test_no_two_look_alike(module: str, table: str) -> None:
    """In a table of looks, all colours differ, and so do all marks."""
    looks = getattr(HOUSE[module], table).values()
    assert len({look[0] for look in looks}) == len(looks)
    if module != "divergences":
        assert len({look[1] for look in looks}) == len(looks)


MANY = [str(i) for i in range(9)]
TOO_MANY = {
    "intervals.draw_intervals": (["a"], {k: [UP[0]] for k in MANY}),
    "remedies.draw_against": (["a"], {k: [UP[0]] for k in MANY}),
    "sft_quality.draw_predictions": (["a"], {k: [UP[0]] for k in MANY}),
    "training_field.draw_parts": ({k: {"own": UP[0]} for k in MANY},),
    "training_field.draw_terms": (LINE, {k: [LINE] for k in MANY}),
    "training_field.draw_speeds": (np.arange(1.0, 15), {k: np.arange(1.0, 15) for k in MANY}),
    "where_the_mass_goes.draw_who_falls": (LINE, {k: [UP[0]] * 3 for k in MANY}),
    "laboratory.draw_sft": ({k: np.ones(50) for k in MANY}, 0.5),
    "law_of_motion.draw_pairs_in_plane": ({k: ([1], [1]) for k in MANY},),
    "numeric_checks.draw_step_size": (LINE + 1, {k: LINE + 1 for k in MANY}),
    "preferences.draw_likelihood": ([(7, 3)] * 9,),
    "ratios_and_fields.draw_loss_curves": ({k: LINE for k in MANY},),
    "ratios_and_fields.draw_paths": ({k: (LINE, LINE) for k in MANY},),
    "reading_the_field.draw_components": (np.linspace(0.1, 1, 9),),
    "rlhf_to_dpo.draw_optimum": ([0.1, 1], np.ones((2, 9)), MANY),
    "rlhf_to_dpo.draw_recovery": ([0, 1], np.ones((2, 9)), np.ones(9), MANY),
}


@pytest.mark.parametrize("name", TOO_MANY)
def test_nothing_is_left_out_in_silence(name: str, ax: Axes) -> None:
    """More things than looks raise an error, instead of a missing line or two equal looks."""
    with pytest.raises(ValueError, match="9 things to draw and only"):
        DRAWINGS[name](ax, *TOO_MANY[name])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("law_of_motion.draw_law", ({"third": LINE}, {"third": LINE})),
        ("where_the_mass_goes.draw_leaders", ([0.1], [0.2], ["newcomer"], {})),
        ("where_the_mass_goes.draw_shares", (["a"], {"newcomer": ([1.0], [1.0])}, {})),
        ("robustness.draw_shapes", (["a"], {"newcomer": [UP[0]]})),
        ("training_field.draw_parts", ({"A": {"own": UP[0]}, "B": {"other": UP[0]}},)),
    ],
)
def test_what_has_no_look_is_an_error(name: str, given: tuple[object, ...], ax: Axes) -> None:
    """A name without a look raises an error."""
    with pytest.raises((KeyError, ValueError)):
        DRAWINGS[name](ax, *given)
