"""Every response of the small world to a prompt, scored at once: where the probability is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpofield.lab.logprobs import encode_texts, reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.trees import harvest, plant, takes_trees
from dpofield.lab.world import World


class Responses:
    """All responses to one prompt as one tree, planted once and scored under any model.

    `texts` are the world's, in its order. A model whose attention is not known to take trees
    (`trees.takes_trees`) is asked row by row: the same numbers, in some times the time. Raises
    `ValueError` for a prompt that is not the world's.

    >>> from dpofield.lab.model import small_gpt2
    >>> from dpofield.lab.tokenizer import word_tokenizer
    >>> world = World()
    >>> responses = Responses(world, word_tokenizer(), world.prompts[0])
    >>> values = responses.logprobs(small_gpt2(seed=0, layers=1, width=16))
    >>> values.shape, bool(0 < np.exp(values).sum() < 1)
    ((7296,), True)
    """

    def __init__(self, world: World, tokenizer: Any, prompt: str) -> None:
        self.prompt, self.texts = prompt, world.responses(prompt)
        self._batch = encode_texts(tokenizer, [(prompt, text) for text in self.texts])
        rows = (self._batch.input_ids, self._batch.attention_mask, self._batch.response_mask)
        self._forest = plant(*rows)

    @property
    def places(self) -> int:
        """Nodes of the prefix tree that a model has to read."""
        return len(self._forest.input_ids)

    def logprobs(self, model: CausalLM, *, progress: bool = False) -> NDArray[np.float64]:
        """log pi(response | prompt) of each text, in nats: (n,).

        What is missing to one in the sum of their exponentials is off the grammar.
        """
        device = next(model.parameters()).device
        if takes_trees(model):
            values = harvest(model, self._forest.to(device), progress=progress)
        else:
            values = reference_logprobs(model, self._batch.to(device), share=False)
        found: NDArray[np.float64] = values.double().cpu().numpy()
        return found
