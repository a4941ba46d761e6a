"""The starting models of every experiment: fine-tuned on the world once, then cached.

Weights are not shipped. The build trains each model in less than a minute, so the book's models
come from the code that the book shows. The name of a folder contains a hash of everything that
determines its content. Several processes may request the same model at once: one trains it, the
others wait.

    python -m dpofield.lab.checkpoint     trains both models of `LEVELS`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from filelock import FileLock
from numpy.typing import NDArray

from dpofield.lab.batch import encode_texts
from dpofield.lab.files import cache_root
from dpofield.lab.model import CausalLM, load_causal_lm, small_gpt2, small_llama
from dpofield.lab.recipe import Recipe
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.training import sft
from dpofield.lab.watch import Watch
from dpofield.lab.world import World
from dpofield.places import writable
from dpofield.sources import read_code

Level = Literal["weak", "strong"]

UNTRAINED = {"gpt2": small_gpt2, "llama": small_llama}
"""Constructor of each architecture: (seed, *, layers, width, heads) -> model."""


LEVELS: dict[str, Recipe] = {"weak": Recipe(steps=100), "strong": Recipe(steps=600)}
"""The two starting points that most chapters use."""

# A change in any of these modules can change the weights, so it changes the folder's name.
_SOURCES = (
    "grammar",
    "world",
    "tokenizer",
    "model",
    "batch",
    "forward",
    "logprobs",
    "trees",
    "descent",
    "steps",
    "training",
)
_CARD = "dpofield.json"


def sft_checkpoint(
    level: Level = "strong", *, root: str | os.PathLike[str] | None = None, progress: bool = True
) -> tuple[CausalLM, Any]:
    """`starting_model` of one of `LEVELS`. Raises `ValueError` for an unknown level."""
    if level not in LEVELS:
        raise ValueError(f"no SFT level {level!r}; there are {', '.join(LEVELS)}")
    return starting_model(LEVELS[level], root=root, progress=progress)


def sft_history(
    level: Level = "strong", *, root: str | os.PathLike[str] | None = None
) -> NDArray[np.float64]:
    """SFT loss before each step of a cached checkpoint: nats per response, (steps,)."""
    return np.array(card(LEVELS[level], root=root)["loss"])


def starting_model(
    recipe: Recipe,
    *,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> tuple[CausalLM, Any]:
    """(model, tokenizer) of this recipe; the model is trained now if it is not in the cache.

    An interrupted training continues where it stopped. A damaged folder causes a `RuntimeWarning`
    and is made again. `root` defaults to `cache_root()`. `watch` observes the training, if the
    model has to be trained.
    """
    folder = _folder(recipe, root)
    writable(folder.parent)
    # The operating system releases the lock when the process ends, even if it is killed.
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        flaw = _flaw(folder)
        if folder.exists() and flaw:
            warnings.warn(f"{folder} is damaged ({flaw}): making it again", RuntimeWarning, 2)
            shutil.rmtree(folder)
        if flaw:
            _make(recipe, folder, progress, watch)
        with _quiet():
            return load_causal_lm(folder)


def card(recipe: Recipe, *, root: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Facts about a cached model: its recipe, the `loss` per step, processor `seconds`.

    Raises `FileNotFoundError` for a model that is not in the cache.
    """
    found: dict[str, Any] = json.loads((_folder(recipe, root) / _CARD).read_text())
    return found


def checkpoint_key(recipe: Recipe) -> str:
    """Hash of what determines the weights: sources, recipe, versions of torch and transformers.

    Comments and docstrings do not count, so correcting one does not train the model again.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    digest.update(f"{torch.__version__} {transformers.__version__}".encode())
    for name in _SOURCES:
        digest.update(read_code((here / f"{name}.py").read_text(encoding="utf-8")).digest.encode())
    return digest.hexdigest()[:16]


def _folder(recipe: Recipe, root: str | os.PathLike[str] | None) -> Path:
    base = Path(root) if root is not None else cache_root()
    return base / f"{recipe.architecture}-{recipe.steps}-{checkpoint_key(recipe)}"


def _make(recipe: Recipe, folder: Path, progress: bool, watch: Watch | None) -> None:
    start = time.process_time()
    shape = {"layers": recipe.layers, "width": recipe.width, "heads": recipe.heads}
    tokenizer, model = word_tokenizer(), UNTRAINED[recipe.architecture](recipe.seed, **shape)
    losses = _tuned(model, tokenizer, recipe, folder, progress, watch)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        with _quiet():
            model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        files = {p.name: _sha256(p) for p in sorted(draft.iterdir())}
        known = {
            "recipe": asdict(recipe),
            "seconds": round(time.process_time() - start, 3),
            "loss": np.round(losses, 4).tolist(),
            "sha256": files,
        }
        (draft / _CARD).write_text(json.dumps(known, indent=1) + "\n")
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _tuned(
    model: CausalLM,
    tokenizer: Any,
    recipe: Recipe,
    folder: Path,
    progress: bool,
    watch: Watch | None,
) -> NDArray[np.float64]:
    """Fine-tune the model in place by the recipe; returns the loss per step, (steps,)."""
    if not recipe.steps:
        return np.empty(0)
    texts = World().examples(recipe.steps * recipe.batch, recipe.seed)
    state = folder.with_name(folder.name + ".state.safetensors")
    # The last bits of a sum depend on the number of threads, so the number is fixed. One thread is
    # also faster than two threads that wait for each other while another program runs.
    with _threads(1):
        return sft(
            model, encode_texts(tokenizer, texts), steps=recipe.steps, batch=recipe.batch,
            lr=recipe.lr, seed=recipe.seed, state=state, progress=progress,
            watch=watch,
        )  # fmt: skip


def _flaw(folder: Path) -> str:
    """The first flaw of a checkpoint folder, in words; empty if it has none."""
    try:
        files = json.loads((folder / _CARD).read_text())["sha256"]
    except FileNotFoundError:
        return f"no {_CARD}"
    except (json.JSONDecodeError, KeyError):
        return f"{_CARD} is unreadable"
    for name, expected in files.items():
        if not (folder / name).is_file():
            return f"no {name}"
        if _sha256(folder / name) != expected:
            return f"{name} has changed"
    return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bars with which `transformers` loads weights."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()


if __name__ == "__main__":
    # Without options; the parser prints the help, and refuses everything else.
    about = f"Train the starting models of the book, unless they are in {cache_root()}."
    argparse.ArgumentParser("python -m dpofield.lab.checkpoint", description=about).parse_args()
    for name in LEVELS:
        sft_checkpoint(name)  # type: ignore[arg-type]
        print(f"{name}: ready in {cache_root()}")
