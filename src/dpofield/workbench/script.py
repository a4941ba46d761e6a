"""A configuration as code that trains the same run anywhere this package is installed."""

from __future__ import annotations

from dataclasses import fields

from dpofield.experiments.config import Config

ALWAYS = (
    "sft_steps", "pairs", "pairs_seed", "loss", "params", "optimizer", "lr", "steps", "batch",
    "seed", "record_every",
)  # fmt: skip
"""Fields that are written even if they have their defaults."""

_SCRIPT = """\
from dpofield.experiments import Config, run

config = Config(
{given}
)
record = run(config).run
for step, u, v in zip(record.step, record.u, record.v):
    print(f"step {{step:4}}   mean u {{u.mean():+8.3f}}   mean v {{v.mean():+8.3f}}")
"""


def script(config: Config) -> str:
    """A script that trains this configuration with the numbers that the workbench showed.

    >>> print(script(Config(edit_distance=1)).split("config = ")[1][:72])
    Config(
        sft_steps=100,
        pairs=64,
        pairs_seed=0,
        edit_dis...
    """
    given = [
        f"    {f.name}={getattr(config, f.name)!r},"
        for f in fields(config)
        if f.name in ALWAYS or getattr(config, f.name) != f.default
    ]
    return _SCRIPT.format(given="\n".join(given))
