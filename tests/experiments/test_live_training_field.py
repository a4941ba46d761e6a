"""The kernel during a live run: its terms agree with the law, and the run with a recorded row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpofield.experiments.findings import training_field as paths
from dpofield.experiments.live import training_field as live
from dpofield.experiments.rows import measure
from dpofield.lab.kernel import predicted_change
from tests.experiments.conftest import tiny


def kernel(n: int) -> np.ndarray:
    g = np.random.default_rng(1).normal(size=(2 * n, 30)) + 0.3
    return g @ g.T


def test_terms_add_up_to_the_law_of_a_batch() -> None:
    """The share agrees with `predicted_change`, and `alone` with it for the kernel of own terms."""
    K, W = kernel(4), np.array([0.05, 0.04, 0.03, 0.05])
    up, down = predicted_change(K, -W, W, 1.0)
    found = live.terms(K, W)
    assert found.share == pytest.approx(up.mean() / (up.mean() - down.mean()))
    own = K * np.tile(np.eye(4), (2, 2))
    up, down = predicted_change(own, -W, W, 1.0)
    assert found.alone == pytest.approx(up.mean() / (up.mean() - down.mean()))


def test_terms_do_not_depend_on_units_and_order() -> None:
    """The lengths of gradients, the size of the weights and the order of pairs have no effect."""
    K, W = kernel(3), np.array([1.0, 2.0, 3.0])
    order = np.array([2, 0, 1])
    rows = np.concatenate([order, order + 3])
    for other in (live.terms(7 * K, 5 * W), live.terms(K[rows][:, rows], W[order])):
        assert other == pytest.approx(live.terms(K, W))


def test_own_and_cross_terms_are_separated() -> None:
    """Pairs with orthogonal gradients have own terms only; an overlap with another yl lowers yw."""
    alone = live.terms(np.eye(4), np.ones(2))
    assert alone == (0.5, 0, 0, 0.5)
    K = np.eye(4)
    K[0, 3] = K[3, 0] = 0.5  # yw of the first pair with yl of the second
    found = live.terms(K, np.ones(2))
    assert found.dispreferred < 0 == found.preferred
    with pytest.raises(ValueError, match=r"shape \(4, 4\), but 3 weights need \(6, 6\)"):
        live.terms(K, np.ones(3))


def test_looks_see_the_run_that_is_recorded(models: Path) -> None:
    """Looks agree with the row of the same configuration, and the first look with the start."""
    config = tiny(keep_paths=True, steps=4, record_every=4)
    first, last = live.looks(config, [0, 4], models)
    row = measure(config, models)
    assert (first.step, first.u, first.v) == (0, 0.0, 0.0)
    assert last.u == pytest.approx(row["u"], rel=1e-3)
    assert last.v == pytest.approx(row["v"], rel=1e-3)
    start = paths.start_share(pd.DataFrame([row]))
    assert first.terms.share == pytest.approx(start.start[0], rel=1e-3)
    assert first.terms.alone == pytest.approx(start.own[0], rel=1e-3)
    assert first.frozen == first.terms.share
    with pytest.raises(ValueError, match="'ipo'"):
        live.looks(tiny(loss="ipo"), [1], models)
