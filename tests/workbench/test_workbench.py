"""The workbench without a browser: training, stopping, errors, comparison and code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from html import unescape

import ipywidgets
import numpy as np

from dpofield.experiments.one_run import run as train
from dpofield.palette import PALETTE
from dpofield.widgets import RunPlayer
from dpofield.widgets.run_player import DIGITS
from dpofield.workbench import RECORDED, workbench
from dpofield.workbench.compare import ROWS, numbers, side_by_side


def test_train_to_the_end(made):
    """During training Train is disabled and Stop enabled; a second press does nothing. The picture
    shows the run, the run is kept, and Train can be pressed again afterwards."""
    workbench = made(seed=3, pairs_seed=3)
    begun = threading.Event()
    release = threading.Event()
    workbench.live.drawn = lambda start, drawn=workbench.live.drawn: (
        drawn(start), begun.set(), release.wait(60),
    )  # fmt: skip
    workbench.live.train.click()
    assert begun.wait(60)
    assert workbench.live.training
    assert (workbench.live.train.disabled, workbench.live.halt.disabled) == (True, False)
    workbench.live.start()
    release.set()
    assert workbench.live.wait(60)
    assert (workbench.live.train.disabled, workbench.live.halt.disabled) == (False, True)
    (run,) = workbench.finished
    player = workbench.live.player
    assert player.step == run.step.tolist() == [*range(7)]
    np.testing.assert_allclose(player.u, run.u, atol=10**-DIGITS)
    np.testing.assert_allclose(player.v, run.v, atol=10**-DIGITS)
    assert (player.beta, player.record) == (0.1, 6)
    assert "Done" in workbench.live.words.value
    assert workbench.live.bar.value == workbench.live.bar.max == 6


def test_stop_keeps_what_came(made, models):
    """A stopped run is kept, and equals the beginning of the complete run."""
    workbench = made(steps=200, record_every=5)
    workbench.live.record = lambda step, u, v, record=workbench.live.record: (
        record(step, u, v), step == 50 and workbench.live.halt.click(),
    )  # fmt: skip
    workbench.live.train.click()
    assert workbench.live.wait(60)
    (run,) = workbench.finished
    assert run.step.tolist() == workbench.live.player.step == [*range(0, 51, 5)]
    assert "Stopped dpo beta=0.1 after step 51 of 200" in workbench.live.words.value
    assert "stopped after 50" in run.name
    np.testing.assert_array_equal(run.u, train(run.config, root=models).run.u[: len(run.u)])
    assert not workbench.live.train.disabled
    workbench.live.train.click()
    assert workbench.live.training


def test_an_error_is_told_and_the_bench_stays_usable(made):
    """Divergence is reported in a sentence; the next run works."""
    workbench = made(optimizer="sgd", lr=1e30)
    workbench.live.train.click()
    assert workbench.live.wait(60)
    assert "ended with an error: log-probability of" in workbench.live.words.value
    assert "lower the learning rate" in workbench.live.words.value
    assert workbench.finished == []
    workbench.controls.fields["lr"].value = 0.1
    workbench.live.train.click()
    assert workbench.live.wait(60)
    assert "Done" in workbench.live.words.value
    assert len(workbench.finished) == 1


def test_pairs_that_are_not_found(made):
    """An untrained model gives no on-policy pairs: the error of `draw` is shown."""
    workbench = made(sft_steps=0, source="model")
    workbench.live.train.click()
    assert workbench.live.wait(60)
    assert "raise sft_steps" in workbench.live.words.value


def test_compare(made):
    """The last two runs are side by side; the numbers equal NumPy's; the differences are named."""
    workbench = made()
    for loss in ("dpo", "ipo", "sft"):
        workbench.controls.fields["loss"].value = loss
        workbench.live.train.click()
        assert workbench.live.wait(60)
    assert (workbench.a.value, workbench.b.value) == (1, 2)
    workbench.a.value = 0
    one, other = workbench.finished[0], workbench.finished[2]
    assert workbench.compared.value.count("<svg") == 1
    assert "loss ('dpo', 'sft'), params ({'beta': 0.1}, {})" in workbench.compared.value
    for run in (one, other):
        u, v = run.u[-1], run.v[-1]
        expected = [
            6, np.mean(u), np.mean(v), np.mean(u) - np.mean(v), np.mean(u < 0),
            np.mean(abs(v) > abs(u)),
        ]  # fmt: skip
        found = numbers(run)
        np.testing.assert_allclose([found[row] for row in ROWS], expected, rtol=1e-12)
        assert f"<td>{np.mean(v):.3f}</td>".replace("-", "−") in workbench.compared.value
    workbench.b.value = 0
    assert "Train two runs" in workbench.compared.value
    workbench.a.value = 1
    workbench.live.train.click()
    assert workbench.live.wait(60)
    assert (workbench.a.value, workbench.b.value) == (1, 0)  # chosen by the reader


def test_the_picture_takes_the_pages_colours(made):
    """The picture uses only CSS variables, so that it is legible on light and dark pages."""
    workbench = made()
    for seed in (0, 1):
        workbench.controls.fields["seed"].value = seed
        workbench.live.start()
        assert workbench.live.wait(60)
    drawn = side_by_side(tuple(workbench.finished))
    assert "var(--preferred)" in drawn
    assert "var(--dispreferred)" in drawn
    assert not set(re.findall(r"#[0-9a-f]{6}\b", drawn)) & {c for p in PALETTE.values() for c in p}
    assert "<?xml" not in drawn


def test_the_code_follows_the_controls(made):
    """The workbench shows the script of the chosen configuration."""
    workbench = made()
    workbench.controls.fields["beta"].value = 0.33
    assert "params={'beta': 0.33}" in workbench.script
    assert workbench.code.value.startswith("<pre")
    assert workbench.script in unescape(workbench.code.value)


def test_closing_ends_the_training(made):
    """A closed workbench stops training."""
    workbench = made(steps=2000)
    begun = threading.Event()
    workbench.live.drawn = lambda start, drawn=workbench.live.drawn: (drawn(start), begun.set())
    workbench.live.start()
    assert begun.wait(60)
    workbench.close()
    assert workbench.live.wait(60)


def test_a_kernel_ends_in_the_middle_of_a_run(models):
    """The process ends at once and without an error, even during a run."""
    code = (
        "import sys, threading\nsys.path.insert(0, '.')\n"
        "from dpofield.workbench.widget import Workbench\n"
        "from tests.workbench.conftest import tiny\n"
        f"workbench = Workbench(tiny(steps=2000), root={str(models)!r})\n"
        "begun = threading.Event()\nworkbench.live.record = lambda *_: begun.set()\n"
        "workbench.live.start()\nprint(begun.wait(60))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_static_page_has_a_recorded_run(monkeypatch, capsys):
    """A static page has a player and a note, and no stock widgets, which need a kernel."""
    monkeypatch.setenv("DPOFIELD_PAGE", "static")
    new = []
    ipywidgets.Widget.on_widget_constructed(new.append)
    shown = workbench()
    ipywidgets.Widget.on_widget_constructed(None)
    assert isinstance(shown, RunPlayer)
    assert "recorded run" in RECORDED
    assert RECORDED in capsys.readouterr().out
    assert {type(widget).__name__ for widget in new} == {"RunPlayer", "Layout"}
    monkeypatch.delenv("DPOFIELD_PAGE")
    live = workbench()
    assert type(live).__name__ == "Workbench"
    live.close()
    assert "DPOFIELD_PAGE" not in os.environ
