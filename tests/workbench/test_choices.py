"""Controls and configuration agree, and invalid fields are named."""

from __future__ import annotations

import itertools

import pytest

from dpofield.experiments.config import Config
from dpofield.experiments.plans import SFT_LEVELS
from dpofield.formulas import LOSSES
from dpofield.workbench import choices
from dpofield.workbench.controls import Controls
from tests.workbench.conftest import SHAPE


def controls(config=None):
    return Controls(config or Config())


@pytest.mark.parametrize(
    ("kind", "loss"), [*itertools.product(choices.PAIRS, ["dpo", "ipo", "dpop", "simpo", "orpo"])]
)
def test_there_and_back(kind, loss):
    """A configuration fills the controls, and they return the same configuration."""
    wanted = {"beta": 0.37, "lam": 2.0}
    params = {name: x for name, x in wanted.items() if name in LOSSES[loss].defaults}
    config = Config(
        **SHAPE, **choices.PAIRS[kind], pairs=7, pairs_seed=3, loss=loss,
        params=params,
        optimizer="sgd", lr=0.5, steps=81, batch=7, seed=3, record_every=2,
    )  # fmt: skip
    assert controls(config).config() == config
    other = controls()
    other.show(config)
    assert other.config() == config


def test_every_control_reaches_the_configuration():
    """The configuration has the value of each control."""
    shown = controls()
    values = {
        "sft_steps": 600, "pairs": 9, "loss": "ipo", "optimizer": "sgd", "lr": 0.3,
        "steps": 12, "seed": 4,
    }  # fmt: skip
    for name, value in values.items():
        shown.fields[name].value = value
    shown.fields["beta"].value = 0.25
    shown.fields["kind"].value = "drawn from the model (on-policy)"
    config = shown.config()
    assert {name: getattr(config, name) for name in values} == values
    assert (config.source, config.pairs_seed, config.batch) == ("model", 4, 9)
    assert config.params == {"beta": 0.25}


def test_levels():
    """All levels of the experiments; the two that come with the book are first."""
    levels = [steps for _, steps in controls().fields["sft_steps"].options]
    assert sorted(levels) == sorted(SFT_LEVELS)
    assert levels[:2] == [100, 600]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_chosen(loss):
    """A chosen loss has its default beta; without a beta, the controls of beta are disabled."""
    shown = controls()
    shown.fields["loss"].value = loss
    config = shown.config()
    expected = LOSSES[loss].defaults.get("beta")
    assert config.params.get("beta") == expected
    assert shown.fields["beta"].disabled is shown.slider.disabled is (expected is None)
    for name in set(LOSSES[loss].defaults) - {"beta"}:
        assert f"{name} = " in shown.note.value


def test_beta_typed_and_slid():
    """One number in two controls; numbers beyond the slider can be typed."""
    shown = controls()
    shown.slider.value = 0.42
    assert shown.fields["beta"].value == shown.config().params["beta"] == 0.42
    shown.fields["beta"].value = 7.5
    assert shown.slider.value == shown.config().params["beta"] == 7.5


def test_each_optimizer_has_its_learning_rate():
    """A new optimizer sets its own learning rate and steps."""
    shown = controls()
    for name, usual in choices.OPTIMIZERS.items():
        shown.fields["optimizer"].value = "sgd" if name == "adamw" else "adamw"
        shown.fields["optimizer"].value = name
        assert {k: shown.fields[k].value for k in usual} == usual


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pairs", 0, "pairs = 0"),
        ("pairs", 10**6, "pairs = 1000000: the workbench takes 256"),
        ("steps", 0, "steps = 0"),
        ("steps", 10**6, "steps = 1000000"),
        ("lr", 0.0, "lr = 0.0"),
        ("beta", -1.0, "beta = -1.0"),
        ("seed", -1, "seed = -1"),
    ],
)
def test_what_cannot_be(made, name, value, says):
    """The message and the code name the field, and nothing is started."""
    workbench = made()
    workbench.controls.fields[name].value = value
    workbench.live.train.click()
    assert not workbench.live.training
    assert f"Not started: {says}" in workbench.live.words.value
    assert 'role="alert"' in workbench.live.words.value
    assert says in workbench.code.value
    assert not workbench.live.train.disabled


def test_pairs_of_no_kind():
    """A configuration with another kind of pairs is refused; the message lists the kinds."""
    with pytest.raises(ValueError, match=r"edit_distance=3.*one word edited"):
        controls(Config(edit_distance=3))
