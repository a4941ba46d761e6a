"""Log-probabilities of all responses of the small world to one prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpofield.lab.batch import encode_texts
from dpofield.lab.logprobs import reference_logprobs
from dpofield.lab.model import CausalLM
from dpofield.lab.trees import harvest, plant, takes_trees
from dpofield.lab.world import World


class Responses:
    """All responses to one prompt as one prefix tree, built once and scored under any model.

    `texts` are those of `World.responses`, in the same order. If the model does not support trees
    (`trees.takes_trees`), each row is computed on its own: the same numbers up to rounding, several
    times slower. Raises `ValueError` for a prompt that the world does not have.

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
        """Number of nodes of the prefix tree, each read once by a model."""
        return len(self._forest.input_ids)

    def logprobs(self, model: CausalLM, *, progress: bool = False) -> NDArray[np.float64]:
        """log pi(response | prompt) of each text, in nats: (n,).

        One minus the sum of their exponentials is the probability outside the grammar.
        """
        device = next(model.parameters()).device
        if takes_trees(model):
            values = harvest(model, self._forest.to(device), progress=progress)
        else:
            values = reference_logprobs(model, self._batch.to(device), share=False)
        found: NDArray[np.float64] = values.double().cpu().numpy()
        return found
