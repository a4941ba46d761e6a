"""A configuration as code that trains the same run anywhere this package is installed."""

from __future__ import annotations

from dataclasses import fields

from dpofield.experiments.config import Config

ALWAYS = (
    "sft_steps", "pairs", "pairs_seed", "loss", "beta", "optimizer", "lr", "steps", "batch", "seed",
    "record_every",
)  # fmt: skip
"""What is written even where it is the default."""

_SCRIPT = """\
import torch

from dpofield.experiments.config import Config
from dpofield.experiments.data import draw
from dpofield.lab.checkpoint import starting_model
from dpofield.lab.logprobs import encode, reference_logprobs
from dpofield.lab.training import dpo

config = Config(
{given}
)
torch.set_num_threads(1)  # sums depend on it in their last digits
model, tokenizer = starting_model(config.recipe)
pairs = draw(config, model, tokenizer)
batch = encode(tokenizer, pairs)
run = dpo(
    model, reference_logprobs(model, batch), batch,
    loss=config.loss, {strength}optimizer=config.optimizer, lr=config.lr,
    steps=config.steps, batch=config.batch, seed=config.seed, record_every=config.record_every,
)
for step, u, v in zip(run.step, run.u, run.v):
    print(f"step {{step:4}}   mean u {{u.mean():+8.3f}}   mean v {{v.mean():+8.3f}}")
"""


def script(config: Config) -> str:
    """A script that trains this configuration with the numbers that the bench showed.

    >>> print(script(Config(edit_distance=1)).split("config = ")[1][:72])
    Config(
        sft_steps=100,
        pairs=64,
        pairs_seed=0,
        edit_dis...
    """
    given = [
        f"    {f.name}={_plain(getattr(config, f.name))!r},"
        for f in fields(config)
        if f.name in ALWAYS or getattr(config, f.name) != f.default
    ]
    strength = "" if config.beta is None else "beta=config.beta, "
    if config.params:
        strength += "params=dict(config.params), "
    return _SCRIPT.format(given="\n".join(given), strength=strength)


def _plain(value: object) -> object:
    """Pairs of names and numbers as the dictionary that a person would write."""
    return dict(value) if isinstance(value, tuple) else value
