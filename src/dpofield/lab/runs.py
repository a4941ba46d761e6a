"""The record of a preference-training run: plain arrays, one row per recorded step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dpofield.lab.files import replacing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """A recorded run over N pairs at T recorded steps; arrays are float64, logs in nats.

    `step` (T,) counts the updates made before the record was taken, so row 0 is the start.
    `lw`, `ll` (T, N): log pi(yw | x) and log pi(yl | x), summed over response tokens.
    `ref_w`, `ref_l` (N,): the same under the reference. `loss` (T, N): the per-pair loss.
    `dx1`, `dx2` (T, N): autograd's derivatives of that loss with respect to the ratios x1 and x2;
    nan if a ratio overflows or underflows in float64.
    """

    config: Mapping[str, Any]
    step: NDArray[np.int64]
    lw: Floats
    ll: Floats
    ref_w: Floats
    ref_l: Floats
    loss: Floats
    dx1: Floats
    dx2: Floats

    @property
    def u(self) -> Floats:
        """log x1 = log pi(yw | x) - log pi_ref(yw | x), (T, N)."""
        return self.lw - self.ref_w

    @property
    def v(self) -> Floats:
        """log x2 = log pi(yl | x) - log pi_ref(yl | x), (T, N)."""
        return self.ll - self.ref_l

    @property
    def x1(self) -> Floats:
        """pi(yw | x) / pi_ref(yw | x), (T, N)."""
        return np.exp(self.u)

    @property
    def x2(self) -> Floats:
        """pi(yl | x) / pi_ref(yl | x), (T, N)."""
        return np.exp(self.v)

    @property
    def margin(self) -> Floats:
        """m = u - v in nats, (T, N)."""
        return self.u - self.v

    @property
    def seed(self) -> int:
        """The seed of the order of the pairs."""
        return int(self.config["seed"])

    @property
    def complete(self) -> bool:
        """Whether the last record is that of the last step in `config`."""
        return bool(len(self.step)) and int(self.step[-1]) == int(self.config["steps"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an `.npz` file without pickles; an error leaves an existing file unchanged."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "config"}
        with replacing(path) as draft, draft.open("wb") as file:
            np.savez(file, config=np.array(json.dumps(dict(self.config))), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a file of `save`; `ValueError` for a file that is damaged or not a run."""
        try:
            # Opened here because NumPy does not close a damaged file.
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (BadZipFile, EOFError, ValueError) as error:
            raise ValueError(
                f"{path} is not a recorded run, or is damaged ({error}); record it again"
            ) from error
        missing = [f.name for f in fields(cls) if f.name not in arrays]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}; record the run again")
        config = json.loads(str(arrays.pop("config")))
        return cls(
            config=config, **{f.name: arrays[f.name] for f in fields(cls) if f.name in arrays}
        )
