"""Verdicts over shapes, on synthetic tables with and without effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.findings import robustness
from dpofield.experiments.findings.robustness import Question
from dpofield.experiments.plans import LLAMA, SMALL, plan
from dpofield.experiments.stats import Interval
from dpofield.lab.model import small_gpt2, small_llama
from tests.experiments.made_runs import pair, run, table

SHAPES = {"main": {}, "small": SMALL, "Llama": LLAMA}


def made(effect: dict[str, float]) -> pd.DataFrame:
    """One run per seed and shape; `u_at_margin_2` is the shape's effect plus noise."""
    rows = []
    for shape, changes in SHAPES.items():
        for seed in range(10):
            config = Config(seed=seed, **changes)
            noise = 0.01 * np.random.default_rng(seed).normal()
            rows.append(run(config, [pair("p :", "a", "b", u_at_margin_2=effect[shape] + noise)]))
    runs = table(rows)
    return runs.assign(shape=robustness.shape_of(runs))


ABOVE = Question("e", "u", "preferred", "nats", robustness.at_margin("u", 2), "above", 0.0)


def test_a_shape_that_differs_is_named_and_one_that_does_not_is_not() -> None:
    found = robustness.answers(made({"main": 1.0, "small": -1.0, "Llama": 2.0}), (ABOVE,))
    by_shape = found.set_index("shape")
    assert list(by_shape["word"]) == ["same", "not the same", "same"]
    assert by_shape.loc["Llama", "more"] == pytest.approx(1)
    assert by_shape.loc["Llama", "more_low"] > 0.99
    counted = robustness.counts(found)
    assert counted.loc["small"].to_dict() == {"same": 0, "not the same": 1, "undecided": 0}


def test_open_answers_are_undecided() -> None:
    """An open answer of either model makes the comparison undecided."""
    runs = made({"main": 1.0, "small": 0.0, "Llama": 1.0})
    assert robustness.answers(runs, (ABOVE,)).set_index("shape")["word"]["small"] == "undecided"
    runs = made({"main": 0.0, "small": 1.0, "Llama": 1.0})
    words = robustness.answers(runs, (ABOVE,)).set_index("shape")["word"]
    assert set(words) == {"undecided"}


def test_keys_and_labels_are_distinct() -> None:
    """Code identifies rows by their keys, and readers identify them by their labels."""
    for names in ([q.key for q in robustness.QUESTIONS], [q.label for q in robustness.QUESTIONS]):
        assert len(set(names)) == len(names)
    assert {q.experiment for q in robustness.QUESTIONS} == set(robustness.EXPERIMENTS)
    assert set(robustness.GAINS) <= {q.key for q in robustness.QUESTIONS}


def test_the_order_of_rows_has_no_effect() -> None:
    runs = made({"main": 1.0, "small": 0.5, "Llama": 2.0})
    mixed = runs.sample(frac=1, random_state=0).reset_index(drop=True)
    one, two = (robustness.answers(r, (ABOVE,)) for r in (runs, mixed))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("kind", "interval", "answer"),
    [
        ("above", (1, 0.5, 2), "open"),
        ("above", (2, 1.5, 3), "yes"),
        ("below", (2, 1.5, 3), "no"),
        ("within", (0, -0.9, 0.9), "yes"),
        ("within", (2, 1.5, 3), "no"),
        ("within", (-2, -3, -1.5), "no"),
        ("within", (0, -3, 0.5), "open"),
    ],
)
def test_answers(kind: str, interval: tuple[float, ...], answer: str) -> None:
    """An answer is open unless the whole interval is on one side of the bound 1."""
    question = Question("", "", "", "", lambda r: r["u"], kind, 1.0)  # type: ignore[arg-type]
    assert question.answer(Interval(*interval)) == answer


def test_factors_are_means_of_logarithms() -> None:
    """The geometric mean of the ratios 2 and 8 is 4."""
    steps = pd.DataFrame({"a": [2.0, 8.0] * 5})
    question = Question("", "", "", "", lambda r: r["a"], "above", 1.0, geometric=True)
    assert question.interval(steps).value == pytest.approx(4)


def test_settings_of_the_plan_are_found_once() -> None:
    """`select` finds ten seeds for every setting of the plan."""
    runs = pd.DataFrame([config.flat() for config in plan("robustness")])
    runs = runs.assign(shape=robustness.shape_of(runs))
    assert runs["shape"].value_counts().to_dict() == {"small": 100, "Llama": 100}
    llama = runs[runs["shape"] == "Llama"]
    sizes = [
        len(robustness.select(llama, **setting))
        for setting in (
            {}, {"keep_paths": True}, {"optimizer": "sgd"}, {"sft_steps": 50},
            {"sft_steps": 600}, {"source": "model"}, {"source": "model", "sft_steps": 600},
            {"edit_distance": 1}, {"edit_distance": 3},
        )
    ]  # fmt: skip
    assert sizes == [10] * 9


def edited(slope: float) -> pd.DataFrame:
    """Pairs at three distances, with u equal to `slope` times K_wl / K_ww plus noise."""
    rows = []
    for asked, alike in ((1, 0.8), (3, 0.4), (None, 0.0)):
        for seed in range(4):
            noise = np.random.default_rng((seed, asked or 0))
            ratios = alike + 0.1 * noise.normal(size=30)
            pairs = [
                pair("p :", "a", "b", kernel_wl=r, kernel_ww=1.0, gradient_cosine=noise.normal(),
                     levenshtein=float(asked or 8),
                     u_at_margin_2=slope * r + 0.001 * noise.normal())
                for r in ratios
            ]  # fmt: skip
            rows.append(run(Config(seed=seed, edit_distance=asked), pairs))
    return table(rows)


def test_a_planted_predictor_is_found_and_an_idle_one_is_not() -> None:
    runs = edited(-1.0)
    assert robustness.predicts("kernel_ratio")(runs).max() < -0.9
    assert robustness.predicts_within("kernel_ratio", 1)(runs).max() < -0.9
    assert abs(robustness.predicts("gradient_cosine")(runs).mean()) < 0.2
    assert robustness.predicts_better("kernel_ratio", "gradient_cosine")(runs).min() > 0.5
    assert robustness.between_distances(None, 1)(runs).min() > 0.6
    assert abs(robustness.predicts("kernel_ratio")(edited(0.0)).mean()) < 0.2


def test_sizes_are_those_that_the_chapter_names() -> None:
    """The small model has about an eighth of the parameters, the Llama about as many."""
    models = (small_gpt2(0), small_gpt2(0, layers=2, width=64), small_llama(0))
    main, small, llama = (sum(p.numel() for p in model.parameters()) for model in models)
    assert 7 < main / small < 9
    assert 0.95 < main / llama < 1.05
    assert max(main, small, llama) < 1e6
