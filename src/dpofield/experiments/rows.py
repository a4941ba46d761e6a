"""Measure one run: from a configuration to a row with all measurements."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dpofield.experiments import columns, masses
from dpofield.experiments.config import Config
from dpofield.experiments.data import edit_distance, evaluated_prompts, first_difference, world
from dpofield.experiments.margins import MARGINS, at, reached
from dpofield.experiments.one_run import RunWatch, Start, run
from dpofield.experiments.provenance import code_hash, versions
from dpofield.experiments.similarity import ches
from dpofield.formulas import LOSSES
from dpofield.lab.batch import Batch
from dpofield.lab.checkpoint import checkpoint_key
from dpofield.lab.kernel import gram, projections, trained
from dpofield.lab.logprobs import pair_logprobs
from dpofield.lab.motion import Motion
from dpofield.lab.pairs import Pair
from dpofield.lab.runs import Run
from dpofield.lab.training import loss_arguments

Row = dict[str, Any]

# Random seeds and the number of threads are global to a process: only one run at a time.
_TURN = threading.Lock()


def attempt(config: Config, root: str | os.PathLike[str] | None = None) -> Row:
    """The row of a configuration; if the run fails, the row has the error message.

    `root` is the cache of the starting models, by default `lab.files.cache_root()`.
    """
    with _TURN:
        try:
            return measure(config, root)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            return failure(config, f"{type(error).__name__}: {error} ({place})")


def failure(config: Config, error: str) -> Row:
    """The row of a run that failed: configuration and error, without measurements."""
    return _identity(config) | {"error": error}


def measure(config: Config, root: str | os.PathLike[str] | None = None) -> Row:
    """The row of a configuration: all measurements before, during and after its training.

    The columns are those of `columns.MEANING`. `root` and the errors are those of `run`.
    """
    before = _Before()
    done = run(config, before, root=root)
    pairs, motion, old = done.pairs, before.motion, before.old
    new = {prompt: masses.responses(prompt).logprobs(done.model) for prompt in old}
    row = _identity(config) | before.row | _moved(done.run)
    row |= _each("pair", _splits(pairs, old, new)) | _each("prompt", _summaries(pairs, old, new))
    if motion is not None:
        parts = _path(done.run, motion)
        row |= {f"path_{name}": values.ravel().tolist() for name, values in parts}
    wall, work = before.clock
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - work}
    return row | took | {"error": None}


class _Before(RunWatch):
    """Measures the starting model, and every step if the run keeps its paths."""

    clock: tuple[float, float]
    row: Row
    old: dict[str, masses.Floats]
    motion: Motion | None

    def loaded(self) -> None:
        self.clock = time.perf_counter(), time.process_time()

    def drawn(self, start: Start) -> None:
        config, model, batch = start.config, start.model, start.batch
        key = checkpoint_key(config.recipe)
        prompts = evaluated_prompts(config.evaluated)
        self.old = {prompt: masses.before(key, prompt, model) for prompt in prompts}
        self.row = _each("pair", _given(start.pairs, batch) | _start(start) | _pushed(start))
        self.motion = Motion(model, batch) if config.keep_paths else None

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        if self.motion is not None:
            self.motion.begin(optimizer)


def _identity(config: Config) -> Row:
    known = {"key": config.key, "code_hash": code_hash(), "versions": json.dumps(versions())}
    return config.flat() | known


def _each(kind: str, found: dict[str, Any]) -> Row:
    """Columns of pairs or prompts, and the mean of each numeric column."""
    row: Row = {}
    for name, values in found.items():
        row[f"{kind}_{name}"] = np.asarray(values).tolist()
        if name in columns.PAIR or name in columns.PROMPT:
            there = np.asarray(values, dtype=float)
            there = there[~np.isnan(there)]
            row[name] = float(there.mean()) if len(there) else None
    return row


def _given(pairs: list[Pair], batch: Batch) -> dict[str, Any]:
    """Texts, lengths and rewards of the pairs."""
    len_w, len_l = batch.lengths.chunk(2)
    return {
        "prompt": [p.prompt for p in pairs],
        "preferred": [p.preferred for p in pairs],
        "dispreferred": [p.dispreferred for p in pairs],
        "levenshtein": [edit_distance(p) for p in pairs],
        "common_prefix": [first_difference(p) for p in pairs],
        "len_w": len_w.tolist(),
        "len_l": len_l.tolist(),
        "reward_w": [world().reward(p.prompt, p.preferred) for p in pairs],
        "reward_l": [world().reward(p.prompt, p.dispreferred) for p in pairs],
    }


def _start(start: Start) -> dict[str, Any]:
    """Log-probabilities, kernel and similarity of the pairs under the starting model."""
    lw, ll = start.reference.double().numpy().reshape(2, -1)
    K = gram(start.model, start.batch, progress=False)
    alike = ches(start.model, start.batch)
    return {
        "ref_logp_w": lw, "ref_logp_l": ll, "kernel_ww": K.ww, "kernel_wl": K.wl, "kernel_ll": K.ll,
        "gradient_cosine": K.cosine, "ches": alike.plain, "ches_normalised": alike.normalised,
    }  # fmt: skip


def _pushed(start: Start) -> dict[str, Any]:
    """First-order change of every response for one gradient step on the mean loss of all pairs."""
    config, model, batch, reference = start.config, start.model, start.batch, start.reference
    n = len(start.pairs)
    of_loss = loss_arguments(config.loss, config.params, batch, reference)
    lw, ll = pair_logprobs(model, batch)
    values = LOSSES[config.loss].torch(
        lw - reference[:n], ll - reference[n:], **of_loss(torch.arange(n))
    )
    uphill = torch.autograd.grad(values.mean(), list(trained(model).values()))
    push = -projections(model, batch, uphill, progress=False)
    return {"push_w": push[:n], "push_l": push[n:]}


def _moved(run: Run) -> Row:
    """u and v of the pairs at the end and at `MARGINS`, and the steps at these margins."""
    mean, found, row = run.margin.mean(axis=1), {"u": run.u[-1], "v": run.v[-1]}, {}
    for goal in MARGINS:
        when = row[f"steps_to_margin_{goal}"] = reached(run.step, mean, goal)
        found |= {f"{x}_at_margin_{goal}": at(run.step, getattr(run, x), when) for x in "uv"}
        found[f"own_steps_to_margin_{goal}"] = np.array(
            [reached(run.step, own, goal) for own in run.margin.T]
        )
    return row | _each("pair", found)


def _path(run: Run, motion: Motion) -> Iterator[tuple[str, masses.Floats]]:
    """The paths of all pairs, and the parts of their changes that `Motion` measured."""
    for name in ("step", "u", "v", "loss"):
        yield name, getattr(run, name)
    yield from (("dloss_dx1", run.dx1), ("dloss_dx2", run.dx2))
    for part, sums in motion.sums.items():
        for letter, values in zip("uv", np.split(sums[run.step], 2, axis=1), strict=True):
            yield f"{part}_{letter}", values


def _splits(
    pairs: list[Pair], old: dict[str, masses.Floats], new: dict[str, masses.Floats]
) -> dict[str, Any]:
    """`masses.Split` of each pair as columns; nan if its prompt is not evaluated."""
    nowhere = masses.Split(*[float("nan")] * 5)
    found: dict[str, Any] = {}
    for when, values in (("before", old), ("after", new)):
        shares = [
            masses.split(p, values[p.prompt]) if p.prompt in values else nowhere for p in pairs
        ]
        for name in masses.Split._fields:
            found[f"mass_{name}_{when}"] = [getattr(share, name) for share in shares]
    return found


def _summaries(
    pairs: list[Pair], old: dict[str, masses.Floats], new: dict[str, masses.Floats]
) -> dict[str, Any]:
    """`masses.Summary` of the evaluated prompts as columns, and the divergences."""
    found: dict[str, Any] = {"prompt": list(old)}
    for when, values in (("before", old), ("after", new)):
        seen = [masses.summary(prompt, values[prompt], pairs) for prompt in old]
        for name in masses.Summary._fields:
            found[f"{name}_{when}"] = [getattr(one, name) for one in seen]
    both = [masses.divergence(new[prompt], old[prompt]) for prompt in old]
    return found | {
        "kl_on_grammar": [kl for kl, _ in both],
        "kl_off_grammar_bound": [bound for _, bound in both],
    }
