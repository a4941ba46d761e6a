"""The laboratory: the small world, causal LMs, sequence log-probs, recorded SFT and DPO runs.

The names in `__all__` are public. The modules hold more: `trees`, `layers` and `outer` are fast
implementations of what `logprobs` and `kernel` specify, and `motion`, `one_step` and `next_step`
analyse single training steps. Tensors stay on the device that the caller chose: move a batch to
the model's device with `Batch.to`. Functions that return NumPy arrays return them on the host.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpofield.lab.batch import Batch, encodable, encode, encode_texts
    from dpofield.lab.chat import Conversation
    from dpofield.lab.checkpoint import sft_checkpoint, sft_history, starting_model
    from dpofield.lab.descent import Interrupted
    from dpofield.lab.enumeration import Responses
    from dpofield.lab.first_loss import explain_start
    from dpofield.lab.kernel import gram, gram_matrix
    from dpofield.lab.logprobs import pair_logprobs, reference_logprobs, sequence_logprobs
    from dpofield.lab.model import CausalLM, load_causal_lm
    from dpofield.lab.motion import Motion
    from dpofield.lab.pairs import Pair, PairList, read_pairs, write_pairs
    from dpofield.lab.recipe import Recipe
    from dpofield.lab.reference import (
        no_reference,
        reference_from_columns,
        reference_from_model,
        reference_without_adapter,
    )
    from dpofield.lab.runs import Run
    from dpofield.lab.sampling import sample_responses
    from dpofield.lab.settings import Training
    from dpofield.lab.tokenizer import word_tokenizer
    from dpofield.lab.training import dpo, ratio_gradients, sft
    from dpofield.lab.watch import Watch
    from dpofield.lab.world import World

__all__ = [
    "Batch",
    "CausalLM",
    "Conversation",
    "Interrupted",
    "Motion",
    "Pair",
    "PairList",
    "Recipe",
    "Responses",
    "Run",
    "Training",
    "Watch",
    "World",
    "dpo",
    "encodable",
    "encode",
    "encode_texts",
    "explain_start",
    "gram",
    "gram_matrix",
    "load_causal_lm",
    "no_reference",
    "pair_logprobs",
    "ratio_gradients",
    "read_pairs",
    "reference_from_columns",
    "reference_from_model",
    "reference_logprobs",
    "reference_without_adapter",
    "sample_responses",
    "sequence_logprobs",
    "sft",
    "sft_checkpoint",
    "sft_history",
    "starting_model",
    "word_tokenizer",
    "write_pairs",
]

_MODULES = {
    "sft_checkpoint": "checkpoint",
    "sft_history": "checkpoint",
    "starting_model": "checkpoint",
    "Interrupted": "descent",
    "Responses": "enumeration",
    "explain_start": "first_loss",
    "gram": "kernel",
    "gram_matrix": "kernel",
    "Batch": "batch",
    "encodable": "batch",
    "encode": "batch",
    "encode_texts": "batch",
    "pair_logprobs": "logprobs",
    "reference_logprobs": "logprobs",
    "sequence_logprobs": "logprobs",
    "Conversation": "chat",
    "CausalLM": "model",
    "load_causal_lm": "model",
    "Motion": "motion",
    "Pair": "pairs",
    "PairList": "pairs",
    "read_pairs": "pairs",
    "write_pairs": "pairs",
    "Recipe": "recipe",
    "no_reference": "reference",
    "reference_from_columns": "reference",
    "reference_from_model": "reference",
    "reference_without_adapter": "reference",
    "Run": "runs",
    "sample_responses": "sampling",
    "Training": "settings",
    "word_tokenizer": "tokenizer",
    "dpo": "training",
    "ratio_gradients": "training",
    "sft": "training",
    "Watch": "watch",
    "World": "world",
}


def __getattr__(name: str) -> Any:
    # Modules are imported on first use, so that the world can be used without importing torch.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
