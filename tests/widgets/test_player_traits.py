"""The run player in Python: what it accepts, and the run that it shows by default."""

from __future__ import annotations

import example_run
import numpy as np
import pytest
from traitlets import TraitError

from dpofield.widgets import RunPlayer
from dpofield.widgets.run_player import DIGITS

STEP, U, V = [0, 4, 9], np.zeros((3, 2)), np.zeros((3, 2))
TEXTS = [("soup :", "good", "bad"), ("pie :", "warm", "cold")]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"step": [0, 4]}, "belongs to"),
        ({"step": [0, 4, 4]}, "order of time"),
        ({"step": [0], "u": U[:1], "v": V[:1]}, "two records"),
        ({"u": U[:, :1]}, "belongs to"),
        ({"v": np.full((3, 2), np.nan)}, "finite"),
        ({"texts": TEXTS[:1]}, "belongs to"),
        ({"texts": [("a", "b"), ("c", "d")]}, "a text is"),
        ({"texts": None}, "together"),
    ],
)
def test_refuses_what_is_no_run(changed, says):
    """A run whose parts do not belong together is refused with a reason."""
    with pytest.raises(ValueError, match=says):
        RunPlayer(**({"step": STEP, "u": U, "v": V, "texts": TEXTS} | changed))


def test_keeps_what_is_drawn():
    """Log-ratios are rounded, so that a page stays small; a hand's traits are checked."""
    player = RunPlayer(STEP, U + 1 / 3, V, TEXTS, record=2, pair=1)
    assert player.u[0] == [0.333, 0.333]
    for name, value in {"record": 3, "pair": -1, "chart": "logit", "beta": 0}.items():
        with pytest.raises(TraitError):
            player.set_trait(name, value)
    assert (player.record, player.pair, player.chart) == (2, 1, "log-ratio")


def test_the_default_is_the_recorded_run():
    """The package's copy is the table's run; after new experiments, python tools/example_run.py."""
    kept, now = RunPlayer(), example_run.example()
    for name in ("step", "texts", "title", "beta"):
        assert getattr(kept, name) == now[name], name
    for name in ("u", "v"):
        assert np.abs(np.array(getattr(kept, name)) - np.array(now[name])).max() <= 10**-DIGITS
