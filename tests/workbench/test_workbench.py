"""The bench without a browser: it trains, stops, tells of errors, compares, and gives its code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import ipywidgets
import numpy as np
import pytest
import torch

from dpofield.bench import RECORDED, bench
from dpofield.bench.compare import ROWS, numbers, side_by_side
from dpofield.bench.script import script
from dpofield.bench.training import train
from dpofield.experiments.data import draw
from dpofield.formulas import LOSSES
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import encode, reference_logprobs
from dpofield.lab.training import dpo
from dpofield.widgets import RunPlayer
from dpofield.widgets.run_player import DIGITS
from tests.bench.conftest import tiny


class Ear:
    """Who listens to a run, and stops it when something is said."""

    def __init__(self, until=None):
        self.until, self.heard, self.records = until, [], []

    def stopped(self):
        return self.until in self.heard

    def progress(self, what, step, steps):
        self.heard.append((what, step))

    def begin(self, pairs):
        self.heard.append(("begin", len(pairs)))
        self.pairs = pairs

    def record(self, step, u, v):
        self.records.append((step, u, v))


def plainly(config, models):
    """The same run without the bench."""
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    batch = encode(tokenizer, draw(config, model, tokenizer))
    return dpo(
        model, reference_logprobs(model, batch), batch, loss=config.loss,
        params=dict(config.params), steps=config.steps, batch=config.batch, lr=config.lr,
        optimizer=config.optimizer, seed=config.seed, record_every=config.record_every,
        progress=False, **({} if config.beta is None else {"beta": config.beta}),
    )  # fmt: skip


@pytest.mark.parametrize("steps", [6, 7])
def test_records_as_they_come_are_those_of_the_run(models, steps):
    """Being watched changes nothing: what was told on the way is what the run holds."""
    config, ear = tiny(steps=steps, record_every=3), Ear()
    run = train(config, ear, models)
    expected = plainly(config, models)
    for name in ("step", "u", "v"):
        np.testing.assert_array_equal(getattr(run, name), getattr(expected, name))
    for told, now in zip(zip(*ear.records, strict=True), (run.step, run.u, run.v), strict=True):
        np.testing.assert_array_equal(np.stack(told), now)
    assert [pair.prompt for pair in ear.pairs]
    assert ear.heard[-1] == ("training", steps)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(models, loss):
    """Whatever the list offers takes a step."""
    config = tiny(loss=loss, beta=LOSSES[loss].defaults.get("beta"), steps=2)
    assert train(config, Ear(), models).complete


def test_stopped_while_the_sft_is_made(tmp_path):
    """Its steps are told, it ends at once, and nothing half made is taken for a model."""
    ear = Ear(until=("making the SFT model", 3))
    with pytest.raises(Interrupted, match="step 3 of the SFT") as stop:
        train(tiny(sft_steps=30), ear, tmp_path)
    assert stop.value.run is None
    assert ear.heard[-1] == ("making the SFT model", 3)
    again = Ear()
    assert train(tiny(sft_steps=30), again, tmp_path).complete
    assert [step for what, step in again.heard if what.startswith("making")] == [*range(1, 31)]


def test_stopped_while_pairs_are_drawn(models):
    """A model that knows little is asked for a long time; Stop is heard meanwhile."""
    ear = Ear(until=("drawing pairs", 0))
    with pytest.raises(Interrupted, match="before the first step") as stop:
        train(tiny(source="model"), ear, models)
    assert stop.value.run is None
    assert ear.heard[-1] == ("drawing pairs", 0)


def test_another_threads_optimizer_is_not_ours(models, tmp_path):
    """The SFT is followed by a hook on all optimizers; only its own thread's count, and none is
    left behind."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    others, ear, done = torch.optim.SGD([weight], lr=1.0), Ear(), threading.Event()

    def elsewhere():
        while not done.is_set():
            others.step()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        train(tiny(sft_steps=5, steps=1), ear, tmp_path)
    finally:
        done.set()
        thread.join()
    told = len(ear.heard)
    assert [step for what, step in ear.heard if "SFT" in what] == [1, 2, 3, 4, 5]
    others.step()
    assert len(ear.heard) == told


def test_train_to_the_end(made):
    """Train: buttons turn, the picture is that of the run, the run is kept, Train may be pressed
    again, and pressed twice it trains once."""
    bench = made(seed=3, pairs_seed=3)
    begun = threading.Event()
    release = threading.Event()
    bench.live.begin = lambda pairs, begin=bench.live.begin: (
        begin(pairs), begun.set(), release.wait(60),
    )  # fmt: skip
    bench.live.train.click()
    assert begun.wait(60)
    assert bench.live.training
    assert (bench.live.train.disabled, bench.live.halt.disabled) == (True, False)
    bench.live.start()
    release.set()
    assert bench.live.wait(60)
    assert (bench.live.train.disabled, bench.live.halt.disabled) == (False, True)
    (run,) = bench.finished
    player = bench.live.player
    assert player.step == run.step.tolist() == [*range(7)]
    np.testing.assert_allclose(player.u, run.u, atol=10**-DIGITS)
    np.testing.assert_allclose(player.v, run.v, atol=10**-DIGITS)
    assert (player.beta, player.record) == (0.1, 6)
    assert "Done" in bench.live.words.value
    assert bench.live.bar.value == bench.live.bar.max == 6


def test_stop_keeps_what_came(made, models):
    """In the middle: the run so far, equal to the beginning of the whole one."""
    bench = made(steps=200, record_every=5)
    bench.live.record = lambda step, u, v, record=bench.live.record: (
        record(step, u, v), step == 50 and bench.live.halt.click(),
    )  # fmt: skip
    bench.live.train.click()
    assert bench.live.wait(60)
    (run,) = bench.finished
    assert run.step.tolist() == bench.live.player.step == [*range(0, 51, 5)]
    assert "Stopped after step 50 of 200" in bench.live.words.value
    assert "stopped after 50" in run.name
    np.testing.assert_array_equal(run.u, plainly(run.config, models).u[: len(run.u)])
    assert not bench.live.train.disabled
    bench.live.train.click()
    assert bench.live.training


def test_an_error_is_told_and_the_bench_stays_usable(made):
    """A learning rate that blows up is said in words; the next run is a run."""
    bench = made(optimizer="sgd", lr=1e30)
    bench.live.train.click()
    assert bench.live.wait(60)
    assert "ended with an error: log-probability of" in bench.live.words.value
    assert "lower the learning rate" in bench.live.words.value
    assert bench.finished == []
    bench.controls.fields["lr"].value = 0.1
    bench.live.train.click()
    assert bench.live.wait(60)
    assert "Done" in bench.live.words.value
    assert len(bench.finished) == 1


def test_pairs_that_are_not_found(made):
    """An untrained model has no pairs of its own: the sentence of `draw` is shown."""
    bench = made(sft_steps=0, source="model")
    bench.live.train.click()
    assert bench.live.wait(60)
    assert "raise sft_steps" in bench.live.words.value


def test_compare(made):
    """The last two runs stand side by side; the numbers are NumPy's; what differs is named."""
    bench = made()
    for loss in ("dpo", "ipo", "sft"):
        bench.controls.fields["loss"].value = loss
        bench.live.train.click()
        assert bench.live.wait(60)
    assert (bench.a.value, bench.b.value) == (1, 2)
    bench.a.value = 0
    one, other = bench.finished[0], bench.finished[2]
    assert bench.compared.value.count("<svg") == 1
    assert "loss ('dpo', 'sft'), beta (0.1, None)" in bench.compared.value
    for run in (one, other):
        u, v = run.u[-1], run.v[-1]
        expected = [
            6, np.mean(u), np.mean(v), np.mean(u) - np.mean(v), np.mean(u < 0),
            np.mean(abs(v) > abs(u)),
        ]  # fmt: skip
        found = numbers(run)
        np.testing.assert_allclose([found[row] for row in ROWS], expected, rtol=1e-12)
        assert f"<td>{np.mean(v):.3f}</td>".replace("-", "−") in bench.compared.value
    bench.b.value = 0
    assert "Train two runs" in bench.compared.value
    bench.a.value = 1
    bench.live.train.click()
    assert bench.live.wait(60)
    assert (bench.a.value, bench.b.value) == (1, 0)  # a hand chose them


def test_the_picture_takes_the_pages_colours(made):
    """Only CSS variables, so that it can be read on light and on dark."""
    bench = made()
    for seed in (0, 1):
        bench.controls.fields["seed"].value = seed
        bench.live.start()
        assert bench.live.wait(60)
    drawn = side_by_side(tuple(bench.finished))
    assert "var(--preferred)" in drawn
    assert "var(--dispreferred)" in drawn
    assert "#0072b2" not in drawn
    assert "<?xml" not in drawn


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "dpop", "params": {"lam": 5.0}, "beta": 0.3, "edit_distance": 1},
        {"loss": "orpo", "beta": None, "optimizer": "sgd", "lr": 0.1, "seed": 3},
        {"matched": True, "loss": "simpo", "beta": 2.0},
    ],
)
def test_the_code_is_the_run(models, monkeypatch, capsys, changes):
    """Run as it stands, the script gives the same u and v to the last bit."""
    config = tiny(**changes)
    monkeypatch.setattr("dpofield.lab.checkpoint.cache_root", lambda: models)
    names = {}
    exec(compile(script(config), "script", "exec"), names)
    run = train(config, Ear(), models)
    assert names["config"] == config
    np.testing.assert_array_equal(names["run"].u, run.u)
    np.testing.assert_array_equal(names["run"].v, run.v)
    assert f"{run.u[-1].mean():+8.3f}" in capsys.readouterr().out


def test_the_code_follows_the_controls(made):
    """What is shown is the script of what is chosen."""
    bench = made()
    bench.controls.fields["beta"].value = 0.33
    assert "beta=0.33" in bench.script
    assert "beta=0.33" in bench.code.value


def test_closing_ends_the_training(made):
    """A bench that is taken away trains no more."""
    bench = made(steps=2000)
    begun = threading.Event()
    bench.live.begin = lambda pairs, begin=bench.live.begin: (begin(pairs), begun.set())
    bench.live.start()
    assert begun.wait(60)
    bench.close()
    assert bench.live.wait(60)


def test_a_kernel_ends_in_the_middle_of_a_run(models):
    """The process goes quietly, at once, with a run under way."""
    code = (
        "import sys, threading\nsys.path.insert(0, '.')\n"
        "from dpofield.bench.workbench import Bench\nfrom tests.bench.conftest import tiny\n"
        f"bench = Bench(tiny(steps=2000), root={str(models)!r})\n"
        "begun = threading.Event()\nbench.live.record = lambda *_: begun.set()\n"
        "bench.live.start()\nprint(begun.wait(60))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_static_page_has_a_recorded_run(monkeypatch, capsys):
    """Where no kernel will be: a player, the sentence that says so, and no stock widget, which
    could not run there."""
    monkeypatch.setenv("DPOFIELD_PAGE", "static")
    new = []
    ipywidgets.Widget.on_widget_constructed(new.append)
    shown = bench()
    ipywidgets.Widget.on_widget_constructed(None)
    assert isinstance(shown, RunPlayer)
    assert "recorded run" in RECORDED
    assert RECORDED in capsys.readouterr().out
    assert {type(widget).__name__ for widget in new} == {"RunPlayer", "Layout"}
    monkeypatch.delenv("DPOFIELD_PAGE")
    live = bench()
    assert type(live).__name__ == "Bench"
    live.close()
    assert "DPOFIELD_PAGE" not in os.environ
