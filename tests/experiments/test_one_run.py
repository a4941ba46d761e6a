"""One run: all callers get the same numbers, and a watch can stop it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpofield.experiments.config import Config
from dpofield.experiments.data import draw
from dpofield.experiments.one_run import RunWatch, Start, run
from dpofield.experiments.rows import measure
from dpofield.formulas import LOSSES
from dpofield.lab.batch import encode
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.descent import Interrupted
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.runs import Run
from dpofield.lab.settings import Training
from dpofield.lab.training import dpo
from dpofield.workbench.script import script
from tests.experiments.conftest import tiny


class Ear(RunWatch):
    """Records the callbacks of a run, and stops the run after the callback `until`."""

    def __init__(self, until: Any = None) -> None:
        self.until, self.heard, self.records = until, [], []
        self.begun: Start | None = None

    def stopped(self) -> bool:
        return self.until in self.heard

    def progress(self, what: str, step: int, steps: int) -> None:
        self.heard.append((what, step))

    def loaded(self) -> None:
        self.heard.append(("loaded", 0))

    def drawn(self, start: Start) -> None:
        self.heard.append(("drawn", 0))
        self.begun = start

    def record(self, step: int, u: Any, v: Any) -> None:
        self.records.append((step, u, v))


def by_hand(config: Config, models: Path) -> Run:
    """The same run, from the functions of `lab`."""
    model, tokenizer = starting_model(config.recipe, root=models, progress=False)
    batch = encode(tokenizer, draw(config, model, tokenizer))
    settings = Training(
        loss=config.loss, params=dict(config.params), steps=config.steps, batch=config.batch,
        lr=config.lr, optimizer=config.optimizer, seed=config.seed,
        record_every=config.record_every,
    )  # fmt: skip
    return dpo(model, reference_logprobs(model, batch), batch, settings, progress=False)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"loss": "dpop", "params": {"lam": 5.0, "beta": 0.3}, "edit_distance": 1},
    {"loss": "orpo", "optimizer": "sgd", "lr": 0.1, "seed": 3},
    {"matched": True, "loss": "simpo", "params": {"beta": 2.0}},
    {"keep_paths": True},
]


@pytest.mark.parametrize("changes", SETTINGS)
def test_a_run_is_a_run(
    models: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    """u and v are equal bit for bit in `run`, a row of the sweep, the workbench's script and `lab`.

    The script also has the configuration and prints the mean u.
    """
    config = tiny(**changes)
    found = run(config, root=models).run
    others = [by_hand(config, models)]
    monkeypatch.setattr("dpofield.lab.checkpoint.cache_root", lambda: models)
    names: dict[str, Any] = {}
    exec(compile(script(config), "script", "exec"), names)
    others.append(names["record"])
    assert names["config"] == config
    assert f"{found.u[-1].mean():+8.3f}" in capsys.readouterr().out
    row = measure(config, models)
    for name in "uv":
        last = getattr(found, name)[-1]
        for other in others:
            np.testing.assert_array_equal(getattr(found, name), getattr(other, name))
        np.testing.assert_array_equal(row[f"pair_{name}"], last)
        if config.keep_paths:
            np.testing.assert_array_equal(row[f"path_{name}"], getattr(found, name).ravel())


@pytest.mark.parametrize("steps", [6, 7])
def test_records_as_they_come_are_those_of_the_run(models: Path, steps: int) -> None:
    """The callbacks get the records and the start that the finished run has."""
    config, ear = tiny(steps=steps, record_every=3), Ear()
    done = run(config, ear, root=models)
    for heard, name in zip(zip(*ear.records, strict=True), ("step", "u", "v"), strict=True):
        np.testing.assert_array_equal(np.stack(heard), getattr(done.run, name))
    assert ear.heard[-1] == ("dpo beta=0.1", steps)
    assert ear.begun is not None
    assert ear.begun.model is done.model
    assert ear.begun.pairs == done.pairs
    np.testing.assert_array_equal(done.reference, np.r_[done.run.ref_w, done.run.ref_l])
    after = reference_logprobs(done.model, done.batch).double() - done.reference.double()
    np.testing.assert_array_equal(after, np.r_[done.run.u[-1], done.run.v[-1]])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(models: Path, loss: str) -> None:
    """Every loss trains with its default parameters."""
    assert run(tiny(loss=loss, steps=2), root=models).run.complete


def test_stopped_while_the_sft_is_made(tmp_path: Path) -> None:
    """SFT calls back and stops at once; the next run continues it and not with a partial model."""
    ear = Ear(until=("SFT", 3))
    with pytest.raises(Interrupted, match="SFT after step 3 of 30") as stop:
        run(tiny(sft_steps=30), ear, root=tmp_path)
    assert stop.value.run is None
    assert ear.heard[-1] == ("SFT", 3)
    again = Ear()
    assert run(tiny(sft_steps=30), again, root=tmp_path).run.complete
    assert [step for what, step in again.heard if what == "SFT"] == [*range(3, 31)]


@pytest.mark.parametrize("source", ["model", "grammar"])
def test_stopped_while_pairs_are_drawn(models: Path, source: Any) -> None:
    """Sampling pairs from a weak model takes long, so the watch can stop it."""
    ear = Ear(until=("loaded", 0))
    with pytest.raises(Interrupted, match="before the first step") as stop:
        run(tiny(source=source), ear, root=models)
    assert stop.value.run is None
    assert ear.heard[-1] == ("loaded", 0)


def test_stopped_in_training(models: Path) -> None:
    """The records before the stop are those of the full run."""
    config = tiny(steps=6, record_every=1)
    with pytest.raises(Interrupted, match="after step 4 of 6") as stop:
        run(config, Ear(until=("dpo beta=0.1", 4)), root=models)
    assert stop.value.run is not None
    np.testing.assert_array_equal(stop.value.run.u, run(config, root=models).run.u[:4])


def test_another_threads_training_is_not_heard(models: Path, tmp_path: Path) -> None:
    """The callbacks are for steps of the run only, and not for other training in the process."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    others, ear, done = torch.optim.SGD([weight], lr=1.0), Ear(), threading.Event()

    def elsewhere() -> None:
        while not done.is_set():
            others.step()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        run(tiny(sft_steps=5, steps=1), ear, root=tmp_path)
    finally:
        done.set()
        thread.join()
    assert [step for what, step in ear.heard if "SFT" in what] == [*range(6)]
