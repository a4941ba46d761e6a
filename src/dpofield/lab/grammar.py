"""A grammar of short restaurant reviews whose probabilities are known exactly.

The prompt names a dish and a place. The response is built slot by slot. The functions below
compute each slot's probabilities from the prompt and the earlier slots:

    the DISH was [DEGREE] TASTE [and|but the ASPECT was MANNER] . [CLOSING]

The place shifts the probabilities of TASTE. After `and`, MANNER has the sign of TASTE; after
`but`, the opposite sign. The probabilities of CLOSING depend on the sign of TASTE. The true
reward of a response is (Eq. R)

    degree * taste + manner / 2 + closing - [the dish is not that of the prompt].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

DISHES = ("soup", "pasta", "curry", "cake", "salad", "burger", "pie", "stew")

# Place -> mood: the shift of taste towards praise (log-odds per unit of taste).
PLACES = {
    "harbour": 1.2,
    "market": 0.8,
    "garden": 0.4,
    "station": -0.2,
    "castle": -0.6,
    "mill": -1.0,
}

# Word -> (rate at mood 0, value).
TASTE = {
    "good": (0.30, 0.5), "tasty": (0.14, 0.7), "fresh": (0.10, 0.6), "superb": (0.04, 1.0),
    "bland": (0.20, -0.4), "salty": (0.10, -0.6), "cold": (0.08, -0.7), "awful": (0.04, -1.0),
}  # fmt: skip
DEGREE = {"": (0.40, 1.0), "very": (0.25, 1.5), "quite": (0.20, 0.8), "slightly": (0.15, 0.5)}
LINK = {"": 0.25, "and": 0.45, "but": 0.30}
ASPECT = {"service": 0.5, "room": 0.3, "bill": 0.2}
# Aspect -> word -> (rate within its sign, value).
MANNER = {
    "service": {"kind": (0.5, 0.6), "quick": (0.3, 0.4), "charming": (0.2, 0.9),
                "slow": (0.5, -0.4), "rude": (0.3, -0.9), "absent": (0.2, -0.7)},
    "room": {"cosy": (0.5, 0.6), "bright": (0.3, 0.4), "quiet": (0.2, 0.5),
             "noisy": (0.5, -0.5), "dim": (0.3, -0.3), "dirty": (0.2, -1.0)},
    "bill": {"fair": (0.5, 0.5), "modest": (0.3, 0.6), "small": (0.2, 0.8),
             "steep": (0.5, -0.5), "wrong": (0.3, -0.8), "absurd": (0.2, -0.9)},
}  # fmt: skip
# Closing -> (rate after praise, rate after blame, value).
CLOSING = {
    "": (0.50, 0.50, 0.0),
    "worth it .": (0.25, 0.05, 0.3),
    "see you soon .": (0.20, 0.05, 0.5),
    "never again .": (0.05, 0.40, -0.5),
}
FAITHFUL = 0.8  # probability that the review is about the dish of the prompt


class Derivation(NamedTuple):
    """One response with its log-probability (nats, given the prompt) and its true reward."""

    text: str
    logprob: float
    reward: float


def prompt_of(dish: str, place: str) -> str:
    """The text of a prompt.

    >>> prompt_of("soup", "harbour")
    'soup at the harbour :'
    """
    return f"{dish} at the {place} :"


def dish_rates(asked: str) -> dict[str, float]:
    """Probability of each dish in the response: the dish of the prompt, or two other dishes.

    >>> dish_rates("soup")
    {'soup': 0.8, 'pasta': 0.1, 'cake': 0.1}
    """
    i, rest = DISHES.index(asked), (1 - FAITHFUL) / 2
    mixed_up = (DISHES[(i + 1) % len(DISHES)], DISHES[(i + 3) % len(DISHES)])
    return {asked: FAITHFUL} | {dish: round(rest, 12) for dish in mixed_up}


def taste_rates(place: str) -> dict[str, float]:
    """Taste words at a place: rate * exp(mood * value), normalised.

    >>> good, mill = taste_rates("harbour"), taste_rates("mill")
    >>> good["superb"] > mill["superb"], round(sum(good.values()), 12)
    (True, 1.0)
    """
    weight = {w: rate * math.exp(PLACES[place] * value) for w, (rate, value) in TASTE.items()}
    total = math.fsum(weight.values())
    return {w: x / total for w, x in weight.items()}


def tails(praise: bool) -> list[Derivation]:
    """All continuations after a taste word of this sign: clause, full stop and closing."""
    clauses = [Derivation("", math.log(LINK[""]), 0.0)]
    for link in ("and", "but"):
        wanted = praise if link == "and" else not praise
        for aspect, p_aspect in ASPECT.items():
            for word, (rate, value) in MANNER[aspect].items():
                if (value > 0) == wanted:
                    p = LINK[link] * p_aspect * rate
                    text = f" {link} the {aspect} was {word}"
                    clauses.append(Derivation(text, math.log(p), value / 2))
    return [
        Derivation(
            f"{clause.text} . {closing}".rstrip(),
            clause.logprob + math.log(after_praise if praise else after_blame),
            clause.reward + value,
        )
        for clause in clauses
        for closing, (after_praise, after_blame, value) in CLOSING.items()
    ]


def derivations(asked: str, place: str) -> Iterator[Derivation]:
    """Every response to the prompt about `asked` at `place`, in one fixed order."""
    ends = {praise: tails(praise) for praise in (True, False)}
    for dish, p_dish in dish_rates(asked).items():
        for degree, (p_degree, factor) in DEGREE.items():
            for taste, p_taste in taste_rates(place).items():
                value = TASTE[taste][1]
                head = f"the {dish} was {degree} {taste}".replace("  ", " ")
                log_head = math.log(p_dish * p_degree * p_taste)
                r_head = factor * value - (dish != asked)
                for end in ends[value > 0]:
                    # Rounded, so that rewards that are equal do not differ in the last bit.
                    reward = round(r_head + end.reward, 9)
                    yield Derivation(head + end.text, log_head + end.logprob, reward)


def vocabulary() -> tuple[str, ...]:
    """Every word of prompts and responses, sorted.

    >>> len(vocabulary()), vocabulary()[:4]
    (60, ('.', ':', 'absent', 'absurd'))
    """
    slots = [*DISHES, *PLACES, *TASTE, *DEGREE, *LINK, *ASPECT, *CLOSING, "was", "."]
    slots += [word for manner in MANNER.values() for word in manner]
    slots.append(prompt_of(DISHES[0], "harbour"))
    return tuple(sorted({word for slot in slots for word in slot.split()}))
