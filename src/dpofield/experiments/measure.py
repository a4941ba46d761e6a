"""One run: a configuration in, one row with everything measured out."""

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
from dpofield.experiments.data import (
    draw,
    edit_distance,
    evaluated_prompts,
    first_difference,
    world,
)
from dpofield.experiments.margins import MARGINS, at, reached
from dpofield.experiments.provenance import code_hash, versions
from dpofield.experiments.similarity import ches
from dpofield.formulas import LOSSES
from dpofield.lab.checkpoint import checkpoint_key, starting_model
from dpofield.lab.kernel import gram, projections, trained
from dpofield.lab.logprobs import Batch, encode, pair_logprobs, reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.motion import Motion
from dpofield.lab.pairs import Pair
from dpofield.lab.runs import Run
from dpofield.lab.training import dpo, loss_arguments

Row = dict[str, Any]

# Seeds and threads belong to the process, so runs in one process take turns.
_TURN = threading.Lock()


def attempt(config: Config, root: str | os.PathLike[str] | None = None) -> Row:
    """The row of a configuration; if the measurement fails, the row has the error.

    `root` is where starting models are cached (`lab.checkpoint.cache_root()` by default).
    """
    with _TURN:
        try:
            return measure(config, root)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            return failure(config, f"{type(error).__name__}: {error} ({place})")


def failure(config: Config, error: str) -> Row:
    """The row of a run without measurements."""
    return _identity(config) | {"error": error}


def measure(config: Config, root: str | os.PathLike[str] | None = None) -> Row:
    """Make the starting model if it is not cached, train on the pairs, measure before and after.

    The columns are those of `columns.MEANING`. One torch thread, so that the row does not depend
    on how many there are. Raises what drawing pairs and training raise.
    """
    torch.set_num_threads(1)
    model, tokenizer = starting_model(config.recipe, root=root, progress=False)
    start, work = time.perf_counter(), time.process_time()
    pairs = draw(config, model, tokenizer)
    batch = encode(tokenizer, pairs)
    prompts = evaluated_prompts(config.evaluated)
    key = checkpoint_key(config.recipe)
    old = {prompt: masses.before(key, prompt, model) for prompt in prompts}
    known = _given(pairs, batch) | _start(model, batch) | _pushed(config, model, batch)
    row = _identity(config) | _each("pair", known)

    motion = Motion(model, batch) if config.keep_paths else None
    run = _trained(config, model, batch, motion)
    row |= _moved(run)
    new = {prompt: masses.responses(prompt).logprobs(model) for prompt in prompts}
    row |= _each("pair", _splits(pairs, old, new)) | _each("prompt", _summaries(pairs, old, new))
    if motion is not None:
        row |= {f"path_{name}": values.ravel().tolist() for name, values in _path(run, motion)}
    took = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - work}
    return row | took | {"error": None}


def _identity(config: Config) -> Row:
    known = {"key": config.key, "code_hash": code_hash(), "versions": json.dumps(versions())}
    return config.flat() | known


def _each(kind: str, found: dict[str, Any]) -> Row:
    """Columns of pairs or prompts, and the mean of each that is a number."""
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


def _start(model: CausalLM, batch: Batch) -> dict[str, Any]:
    """Log-probabilities, kernel and similarity of the pairs under the starting model."""
    lw, ll = reference_logprobs(model, batch).double().numpy().reshape(2, -1)
    K, alike = gram(model, batch, progress=False), ches(model, batch)
    return {
        "ref_logp_w": lw, "ref_logp_l": ll, "kernel_ww": K.ww, "kernel_wl": K.wl, "kernel_ll": K.ll,
        "gradient_cosine": K.cosine, "ches": alike.plain, "ches_normalised": alike.normalised,
    }  # fmt: skip


def _pushed(config: Config, model: CausalLM, batch: Batch) -> dict[str, Any]:
    """First-order push on every response by one gradient step on the mean loss of all pairs."""
    reference, n = reference_logprobs(model, batch), len(batch) // 2
    of_loss = loss_arguments(config.loss, config.hyperparameters, batch, reference)
    lw, ll = pair_logprobs(model, batch)
    values = LOSSES[config.loss].torch(
        lw - reference[:n], ll - reference[n:], **of_loss(torch.arange(n))
    )
    uphill = torch.autograd.grad(values.mean(), list(trained(model).values()))
    push = -projections(model, batch, uphill, progress=False)
    return {"push_w": push[:n], "push_l": push[n:]}


def _trained(config: Config, model: CausalLM, batch: Batch, motion: Motion | None) -> Run:
    """Train the model in place, every pair on record."""
    given: dict[str, Any] = {} if config.beta is None else {"beta": config.beta}
    if config.params:
        given["params"] = dict(config.params)
    return dpo(
        model, reference_logprobs(model, batch), batch, loss=config.loss, steps=config.steps,
        batch=config.batch, lr=config.lr, optimizer=config.optimizer, seed=config.seed,
        record_every=config.record_every, progress=False,
        watch=None if motion is None else motion.watch, **given,
    )  # fmt: skip


def _moved(run: Run) -> Row:
    """u and v of the pairs at the end and at matched margins, and the steps of those margins."""
    mean, found, row = run.margin.mean(axis=1), {"u": run.u[-1], "v": run.v[-1]}, {}
    for goal in MARGINS:
        when = row[f"steps_to_margin_{goal}"] = reached(run.step, mean, goal)
        found |= {f"{x}_at_margin_{goal}": at(run.step, getattr(run, x), when) for x in "uv"}
        found[f"own_steps_to_margin_{goal}"] = np.array(
            [reached(run.step, own, goal) for own in run.margin.T]
        )
    return row | _each("pair", found)


def _path(run: Run, motion: Motion) -> Iterator[tuple[str, masses.Floats]]:
    """The paths of all pairs, and the parts that add up to their changes."""
    for name in ("step", "u", "v", "loss"):
        yield name, getattr(run, name)
    yield from (("dloss_dx1", run.dx1), ("dloss_dx2", run.dx2))
    for part, sums in motion.sums.items():
        for letter, values in zip("uv", np.split(sums[run.step], 2, axis=1), strict=True):
            yield f"{part}_{letter}", values


def _splits(
    pairs: list[Pair], old: dict[str, masses.Floats], new: dict[str, masses.Floats]
) -> dict[str, Any]:
    """How the probability of each pair's prompt is divided; nan where it is not evaluated."""
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
    """The evaluated prompts, before and after."""
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
