"""The run player in Python: valid and invalid arguments, and the default run."""

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
        ({"step": [0, 4]}, "step and texts need"),
        ({"step": [0, 4, 4]}, "order of time"),
        ({"step": [0], "u": U[:1], "v": V[:1]}, "two records"),
        ({"u": U[:, :1]}, "step and texts need"),
        ({"v": np.full((3, 2), np.nan)}, "finite"),
        ({"texts": TEXTS[:1]}, "step and texts need"),
        ({"texts": [("a", "b"), ("c", "d")]}, "a text is"),
        ({"texts": None}, "together"),
    ],
)
def test_refuses_what_is_no_run(changed, says):
    """A run with inconsistent parts is refused with a reason."""
    with pytest.raises(ValueError, match=says):
        RunPlayer(**({"step": STEP, "u": U, "v": V, "texts": TEXTS} | changed))


def test_keeps_what_is_drawn():
    """Log-ratios are rounded to keep pages small; an index must be one of the run's records."""
    player = RunPlayer(STEP, U + 1 / 3, V, TEXTS, record=2, pair=1)
    assert player.u[0] == [0.333, 0.333]
    with pytest.raises(TraitError, match="record = 3: there are 3"):
        player.record = 3


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ((9, [0, 0], [0, 0]), "order of time"),
        ((10, [0], [0, 0]), "step and texts need|inhomogeneous"),
        ((10, [0, np.inf], [0, 0]), "finite"),
    ],
)
def test_extend_refuses_what_does_not_belong(record, says):
    """Only complete, later records are added; otherwise the run does not change."""
    player = RunPlayer(STEP, U, V, TEXTS)
    with pytest.raises(ValueError, match=says):
        player.extend(*record)
    assert player.step == STEP
    assert len(player.u) == len(player.v) == 3


def test_extend_is_the_longer_run():
    """Adding records one by one gives the traits of the whole run; each record is one message."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 3, 2))
    player, sent = RunPlayer(STEP[:2], u[:2], v[:2], TEXTS), []
    player.send_state = lambda key=None: sent.append(set(key))
    player.extend(STEP[2], u[2], v[2])
    assert player.record == 0
    whole = RunPlayer(STEP, u, v, TEXTS)
    assert [player.step, player.u, player.v] == [whole.step, whole.u, whole.v]
    assert sent == [{"step", "u", "v"}]
    player.follow = True
    player.extend(STEP[2] + 1, u[2], v[2])
    assert player.record == 3
    assert sent[-1] == {"step", "u", "v", "record"}


def test_a_loss_of_its_own():
    """Formulas are printed for the run's loss, and an unknown loss is refused."""
    assert RunPlayer(STEP, U, V, TEXTS)._esm == RunPlayer()._esm
    ipo, dpop = (RunPlayer(STEP, U, V, TEXTS, loss=name)._esm for name in ("ipo", "dpop"))
    assert len({RunPlayer()._esm, ipo, dpop}) == 3
    weak = RunPlayer(STEP, U, V, TEXTS, loss="dpop", params={"lam": 5.0})._esm
    assert weak != dpop
    with pytest.raises(ValueError, match="no loss 'nope'"):
        RunPlayer(STEP, U, V, TEXTS, loss="nope")


def test_the_default_is_the_recorded_run():
    """The package's copy equals the run in the table; after new experiments, run
    `python tools/example_run.py`."""
    kept, now = RunPlayer(), example_run.example()
    for name in ("step", "texts", "title", "beta"):
        assert getattr(kept, name) == now[name], name
    for name in ("u", "v"):
        assert np.abs(np.array(getattr(kept, name)) - np.array(now[name])).max() <= 10**-DIGITS
