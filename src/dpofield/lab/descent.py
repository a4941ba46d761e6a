"""One descent loop for all objectives, with a progress bar, safe interruption and exact resume."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from dpofield.lab.files import replacing
from dpofield.lab.runs import Run
from dpofield.lab.steps import backward, moves
from dpofield.lab.watch import Watch

Records = dict[str, list[Any]]
"""Name -> one value per record, in order of time; saved and resumed with the weights."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a `Watch` stopped the training after a complete step.

    `run` is the `Run` so far if `dpo` was stopped, else None.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.run: Run | None = None


def descend(
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    objective: Callable[[int], Tensor],
    records: Records,
    *,
    steps: int,
    config: Mapping[str, Any],
    state: Path | None,
    save_every: int,
    progress: bool,
    label: str,
    watch: Watch,
    look: int = 0,
) -> None:
    """Take `steps` optimizer steps on the scalar `objective(step)`.

    `weights` are the parameters of the optimizer by name; only these are saved, not frozen ones.
    The objective may append to `records`, which are saved and resumed with the weights. With a
    `state` file the loop continues from the step saved there. It saves the file every `save_every`
    steps and when interrupted, and removes it at the end. `label` is the name of the training in
    the progress bar and for `watch`. Raises `Interrupted` on Ctrl-C and when `watch.stopped()`
    is true, and `ValueError` for a state file that is damaged or belongs to another run. Gradients
    are checked in every step (`steps.backward`), and whether the weights move in step `look`.
    """
    start = _load(state, weights, optimizer, records, config) if state and state.exists() else 0
    watch.progress(label, start, steps)
    bar = tqdm(
        total=steps, initial=start, desc=label, disable=not progress, leave=False, mininterval=1
    )
    with bar, _deferred_interrupt() as interrupted:
        for step in range(start, steps):
            optimizer.zero_grad(set_to_none=True)
            backward(objective(step), weights, step)
            with moves(weights, optimizer, label, step) if step == look else nullcontext():
                optimizer.step()
            bar.update()
            watch.progress(label, step + 1, steps)
            stop = interrupted() or watch.stopped()
            if state and (stop or (step + 1) % save_every == 0):
                _save(state, weights, optimizer, records, config, step + 1)
            if stop:
                where = f"; call again to go on from {state}" if state else ""
                raise Interrupted(f"Stopped {label} after step {step + 1} of {steps}{where}")
    if state:
        state.unlink(missing_ok=True)


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _save(
    path: Path,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    records: Records,
    config: Mapping[str, Any],
    step: int,
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, parameter in weights.items():
        tensors[f"model/{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value)
    for name, values in records.items():
        tensors[f"record/{name}"] = torch.as_tensor(np.stack(values))
    meta = {"config": json.dumps(dict(config), sort_keys=True), "step": str(step)}
    with replacing(path) as draft:
        save_file({k: t.contiguous() for k, t in tensors.items()}, draft, metadata=meta)


@torch.no_grad()
def _load(
    path: Path,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    records: Records,
    config: Mapping[str, Any],
) -> int:
    remedy = "delete the file to start again from the beginning"
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    wanted = {f"model/{name}" for name in weights}
    missing = sorted(wanted - tensors.keys()) + sorted({"config", "step"} - meta.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing[:3])}; {remedy}")
    theirs = json.loads(meta["config"])
    changed = [k for k in {**theirs, **config} if theirs.get(k) != config.get(k)]
    if changed:
        was = ", ".join(f"{k} was {theirs.get(k)!r}, is {config.get(k)!r}" for k in changed)
        raise ValueError(f"{path} belongs to another run: {was}; {remedy}, or give another file")
    for name in sorted(k for k in tensors.keys() - wanted if k.startswith("model/")):
        raise ValueError(
            f"{path} belongs to another run, which trained {name.removeprefix('model/')} too: "
            f"train the same weights (model.set_adapter(name), requires_grad), or {remedy}"
        )
    for name, parameter in weights.items():
        saved = tensors[f"model/{name}"]
        if (saved.shape, saved.dtype) != (parameter.shape, parameter.dtype):
            raise ValueError(
                f"{path} belongs to another run: {name} was {saved.dtype} {tuple(saved.shape)}, "
                f"is {parameter.dtype} {tuple(parameter.shape)}; {remedy}, or give another file"
            )
    # A fused optimizer counts its steps on the device of the weights, others on the host.
    fused = optimizer.defaults.get("fused")
    for name, parameter in weights.items():
        parameter.copy_(tensors[f"model/{name}"])
        prefix = f"optimizer/{name}/"
        held = {
            k.removeprefix(prefix): t
            if k == f"{prefix}step" and not fused
            else t.to(parameter.device)
            for k, t in tensors.items()
            if k.startswith(prefix)
        }
        if held:
            optimizer.state[parameter] = held
    for key, tensor in tensors.items():
        if key.startswith("record/"):
            records[key.removeprefix("record/")] = list(tensor.numpy())
    return int(meta["step"])
