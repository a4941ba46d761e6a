"""Copy a recorded run into the package for the run player: ``python tools/example_run.py``.

Widgets do not import experiments, so the default run of `RunPlayer()` is a copy, rounded to the
digits that are drawn. A test compares the copy with the table and names this command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dpofield.experiments import columns
from dpofield.experiments.config import Config
from dpofield.experiments.tables import recorded
from dpofield.widgets.run_player import DIGITS, EXAMPLE


def example() -> dict[str, Any]:
    """The first run after weak SFT with AdamW: seed 0 of the plan "training-field"."""
    runs = recorded("training-field")
    chosen = (runs["optimizer"] == "adamw") & (runs["sft_steps"] == 100) & (runs["seed"] == 0)
    run = runs[chosen].iloc[0]
    names = ("prompt", "preferred", "dispreferred")
    return {
        "title": "weak SFT, AdamW, seed 0",
        "beta": Config.from_flat(run).params["beta"],
        "step": columns.path(run, "step").astype(int).tolist(),
        "u": np.round(columns.path(run, "u"), DIGITS).tolist(),
        "v": np.round(columns.path(run, "v"), DIGITS).tolist(),
        "texts": [list(texts) for texts in zip(*(run[f"pair_{n}"] for n in names), strict=True)],
    }


if __name__ == "__main__":
    path = Path(EXAMPLE)
    path.write_text(json.dumps(example(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")
