"""The small world: prompts, all possible responses, their probabilities and true rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from dpofield.lab import grammar
from dpofield.lab.pairs import Pair

_TRIES = 1000  # attempts to draw a pair before an error is raised


@dataclass(frozen=True)
class _Table:
    """All n responses to one prompt: texts, their indices, and arrays (n,)."""

    texts: tuple[str, ...]
    index: dict[str, int]
    logprob: NDArray[np.float64]
    reward: NDArray[np.float64]
    cumulative: NDArray[np.float64]


@cache
def _codes(dish: str) -> list[str]:
    """Responses with one character per token: their string distance is their token distance.

    The place changes probabilities only, so the texts of any place can be used.
    """
    letter = {word: chr(0x4E00 + i) for i, word in enumerate(grammar.vocabulary())}
    texts = _table(dish, next(iter(grammar.PLACES))).texts
    return ["".join([letter[word] for word in text.split()]) for text in texts]


@cache
def _table(dish: str, place: str) -> _Table:
    rows = list(grammar.derivations(dish, place))
    texts = tuple(row.text for row in rows)
    logprob = np.array([row.logprob for row in rows])
    return _Table(
        texts,
        {text: i for i, text in enumerate(texts)},
        logprob,
        np.array([row.reward for row in rows]),
        np.cumsum(np.exp(logprob)),
    )


class World:
    """A world of restaurant reviews small enough to enumerate.

    Log-probabilities are in nats, conditional on the prompt, and sum to one over
    `responses(prompt)`; the grammar and the reward (Eq. R) are in `dpofield.lab.grammar`.

    >>> world = World()
    >>> len(world.prompts), len(world.responses(world.prompts[0]))
    (48, 7296)
    >>> world.responses(world.prompts[0])[60]
    'the soup was good but the room was dirty .'
    """

    def __init__(self) -> None:
        self._slots = {
            grammar.prompt_of(dish, place): (dish, place)
            for dish in grammar.DISHES
            for place in grammar.PLACES
        }

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt, in a fixed order."""
        return tuple(self._slots)

    def _of(self, prompt: str) -> _Table:
        if prompt not in self._slots:
            raise ValueError(
                f"{prompt!r} is no prompt of this world; take one of World().prompts, "
                f"for example {self.prompts[0]!r}"
            )
        return _table(*self._slots[prompt])

    def responses(self, prompt: str) -> tuple[str, ...]:
        """Every response with positive probability, in a fixed order."""
        return self._of(prompt).texts

    def logprobs(self, prompt: str) -> NDArray[np.float64]:
        """log p(response | prompt) in nats, in the order of `responses(prompt)`."""
        return self._of(prompt).logprob

    def rewards(self, prompt: str) -> NDArray[np.float64]:
        """True rewards, in the order of `responses(prompt)`."""
        return self._of(prompt).reward

    def logprob(self, prompt: str, response: str) -> float:
        """log p(response | prompt) in nats; minus infinity outside the grammar."""
        table = self._of(prompt)
        i = table.index.get(response)
        return float("-inf") if i is None else float(table.logprob[i])

    def reward(self, prompt: str, response: str) -> float:
        """True reward (Eq. R); `ValueError` for a response outside the grammar."""
        table = self._of(prompt)
        if response not in table.index:
            raise ValueError(
                f"{response!r} is no response to {prompt!r}; World().responses lists them"
            )
        return float(table.reward[table.index[response]])

    def entropy(self, prompt: str) -> float:
        """Entropy of the responses to a prompt, in nats."""
        logprob = self.logprobs(prompt)
        return float(-np.sum(np.exp(logprob) * logprob))

    def sample(self, prompt: str, rng: np.random.Generator) -> str:
        """One response drawn from the grammar."""
        table = self._of(prompt)
        return table.texts[_draw(table.cumulative, rng)]

    def examples(self, n: int, seed: int) -> list[tuple[str, str]]:
        """`n` samples (prompt, response) with uniform prompts, for supervised fine-tuning."""
        rng = np.random.default_rng(seed)
        prompts = rng.choice(np.array(self.prompts), size=n)
        return [(str(prompt), self.sample(str(prompt), rng)) for prompt in prompts]

    def pairs(
        self,
        n: int,
        seed: int,
        edit_distance: int | None = None,
        *,
        temperature: float | None = None,
        prompts: Sequence[str] | None = None,
    ) -> list[Pair]:
        """`n` preference pairs with uniform prompts, both responses drawn from the grammar.

        With `edit_distance` the second response is drawn, by the grammar's probabilities, among
        those at exactly that Levenshtein distance in tokens from the first. By default the response
        with the higher true reward is preferred, and the two rewards differ. With a `temperature`
        the label is drawn by the Bradley-Terry model, P(y > y') = s((r - r') / temperature).

        Raises `ValueError` for n < 1, edit_distance < 1, a distance that no pair has, and
        temperature <= 0.

        >>> World().pairs(1, seed=2, edit_distance=1)[0]
        Pair(prompt='pie at the castle :',
             preferred='the pie was cold .', dispreferred='the pie was awful .')
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if edit_distance is not None and edit_distance < 1:
            raise ValueError(f"edit_distance must be at least 1, got {edit_distance}")
        if temperature is not None and not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        rng = np.random.default_rng(seed)
        choices = self.prompts if prompts is None else tuple(prompts)
        return [self._pair(rng, choices, edit_distance, temperature) for _ in range(n)]

    def _pair(
        self,
        rng: np.random.Generator,
        prompts: Sequence[str],
        edit_distance: int | None,
        temperature: float | None,
    ) -> Pair:
        for _ in range(_TRIES):
            prompt = prompts[int(rng.integers(len(prompts)))]
            table = self._of(prompt)
            i = _draw(table.cumulative, rng)
            allowed = np.ones(len(table.texts), dtype=bool)
            if edit_distance is not None:
                codes = _codes(self._slots[prompt][0])
                distances = cdist([codes[i]], codes, scorer=Levenshtein.distance)[0]
                allowed = distances == edit_distance
            allowed[i] = False
            if temperature is None:
                allowed &= table.reward != table.reward[i]
            if not allowed.any():
                continue
            j = _draw(np.cumsum(np.where(allowed, np.exp(table.logprob), 0.0)), rng)
            gap = table.reward[i] - table.reward[j]
            if temperature is not None:
                prefer_i = rng.random() < 1 / (1 + np.exp(-gap / temperature))
            else:
                prefer_i = gap > 0
            w, l = (i, j) if prefer_i else (j, i)  # noqa: E741 - the field's own letters
            return Pair(prompt, table.texts[w], table.texts[l])
        raise ValueError(
            f"no pair at edit distance {edit_distance} in {_TRIES} draws; "
            "responses of this world differ by 1 to 12 tokens"
        )


def _draw(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index with probability proportional to the increments of `cumulative`."""
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
