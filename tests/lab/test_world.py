"""The world has a normalised distribution, the stated reward, and pairs at a given distance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from dpofield.lab import grammar
from dpofield.lab.pairs import Pair, read_pairs, write_pairs
from dpofield.lab.world import World

WORLD = World()
prompts = st.sampled_from(WORLD.prompts)


@given(prompts)
def test_responses_are_a_distribution(prompt: str) -> None:
    """Probabilities sum to one, and no text has two derivations."""
    assert math.fsum(np.exp(WORLD.logprobs(prompt))) == pytest.approx(1, abs=1e-12)
    assert len(set(WORLD.responses(prompt))) == len(WORLD.responses(prompt))


@given(prompts, st.integers(0, 7295))
def test_a_response_scores_what_its_words_say(prompt: str, i: int) -> None:
    """Probability and reward agree with a second implementation that parses the words."""
    response = WORLD.responses(prompt)[i]
    asked, place = prompt.split()[0], prompt.split()[3]
    words = response.split()
    dish, rest = words[1], words[3:]
    degree = rest.pop(0) if rest[0] in grammar.DEGREE else ""
    taste = rest.pop(0)
    value, factor = grammar.TASTE[taste][1], grammar.DEGREE[degree][1]
    tilt = {w: r * math.exp(grammar.PLACES[place] * x) for w, (r, x) in grammar.TASTE.items()}
    p = grammar.dish_rates(asked)[dish] * grammar.DEGREE[degree][0]
    p *= tilt[taste] / sum(tilt.values())
    reward = factor * value - (dish != asked)
    if rest[0] == ".":
        p *= grammar.LINK[""]
    else:
        link, _, aspect, _, manner = rest[:5]
        rate, manner_value = grammar.MANNER[aspect][manner]
        assert (manner_value * value > 0) == (link == "and")
        p *= grammar.LINK[link] * grammar.ASPECT[aspect] * rate
        reward += manner_value / 2
        rest = rest[5:]
    after_praise, after_blame, closing = grammar.CLOSING[" ".join(rest[1:])]
    p *= after_praise if value > 0 else after_blame
    assert WORLD.logprob(prompt, response) == pytest.approx(math.log(p), abs=1e-12)
    assert WORLD.reward(prompt, response) == pytest.approx(reward + closing, abs=1e-8)


def test_every_rule_is_normalised() -> None:
    """The rates of each slot sum to one, also for each sign."""
    for place in grammar.PLACES:
        assert sum(grammar.taste_rates(place).values()) == pytest.approx(1)
    assert sum(p for p, _ in grammar.DEGREE.values()) == pytest.approx(1)
    assert sum(grammar.LINK.values()) == pytest.approx(1)
    assert sum(grammar.ASPECT.values()) == pytest.approx(1)
    for column in (0, 1):
        assert sum(rates[column] for rates in grammar.CLOSING.values()) == pytest.approx(1)
    for manner in grammar.MANNER.values():
        for sign in (1, -1):
            assert sum(r for r, v in manner.values() if v * sign > 0) == pytest.approx(1)


def test_samples_follow_the_probabilities() -> None:
    """The samples' mean log-probability is minus the entropy, within four standard errors."""
    prompt = WORLD.prompts[0]
    rng = np.random.default_rng(0)
    drawn = [WORLD.logprob(prompt, WORLD.sample(prompt, rng)) for _ in range(4000)]
    error = np.std(drawn) / math.sqrt(len(drawn))
    assert abs(np.mean(drawn) + WORLD.entropy(prompt)) < 4 * error


def test_the_place_moves_the_probabilities_and_not_the_responses() -> None:
    """The texts depend on the dish only; `World.pairs` encodes them once per dish."""
    for dish in grammar.DISHES[:2]:
        texts = {WORLD.responses(grammar.prompt_of(dish, place)) for place in grammar.PLACES}
        assert len(texts) == 1


def test_outside_the_world() -> None:
    """A text outside the grammar has probability 0 and no reward."""
    prompt = WORLD.prompts[0]
    assert WORLD.logprob(prompt, "the soup was soup .") == -math.inf
    with pytest.raises(ValueError, match="no response to"):
        WORLD.reward(prompt, "the soup was soup .")
    with pytest.raises(ValueError, match="no prompt of this world"):
        WORLD.responses("tea at the moon :")


def edit_distance(a: list[str], b: list[str]) -> int:
    """Levenshtein distance by the textbook recurrence, without the library of the world."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@settings(max_examples=60)
@given(st.one_of(st.none(), st.integers(1, 12)), st.integers(0, 2**32), st.booleans())
def test_pairs_are_what_was_asked_for(distance: int | None, seed: int, sampled: bool) -> None:
    """Right distance by two implementations, possible responses, and labels by true reward."""
    pairs = WORLD.pairs(3, seed, distance, temperature=1.0 if sampled else None)
    assert pairs == WORLD.pairs(3, seed, distance, temperature=1.0 if sampled else None)
    for pair in pairs:
        w, l = pair.preferred.split(), pair.dispreferred.split()  # noqa: E741
        assert edit_distance(w, l) == Levenshtein.distance(w, l)
        assert distance is None or edit_distance(w, l) == distance
        gap = WORLD.reward(pair.prompt, pair.preferred) - WORLD.reward(
            pair.prompt, pair.dispreferred
        )
        assert math.isfinite(WORLD.logprob(pair.prompt, pair.preferred))
        assert gap > 0 or sampled


def test_labels_are_bradley_terry() -> None:
    """At temperature 1 the better response is preferred at the rate of the logistic function."""
    pairs = WORLD.pairs(4000, 5, temperature=1.0)
    gaps = np.array(
        [
            WORLD.reward(p.prompt, p.preferred) - WORLD.reward(p.prompt, p.dispreferred)
            for p in pairs
        ]
    )
    expected = 1 / (1 + np.exp(-np.abs(gaps)))
    # A tie counts half, because no response is better.
    won = np.where(gaps == 0, 0.5, gaps > 0)
    error = np.sqrt((expected * (1 - expected)).sum()) / len(gaps)
    assert abs(won.mean() - expected.mean()) < 4 * error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n must be"),
        ({"edit_distance": 0}, "edit_distance must be"),
        ({"edit_distance": 99}, "no pair at edit distance 99"),
        ({"temperature": 0.0}, "temperature must be"),
        ({"prompts": ["tea :"]}, "no prompt of this world"),
    ],
)
def test_impossible_pairs(arguments: dict[str, object], words: str) -> None:
    """Impossible arguments are errors with a reason."""
    with pytest.raises(ValueError, match=words):
        WORLD.pairs(**({"n": 1, "seed": 0} | arguments))  # type: ignore[arg-type]


texts = st.text(min_size=1).filter(str.strip)


@given(st.lists(st.tuples(texts, texts, texts).filter(lambda t: t[1] != t[2]), min_size=1))
def test_pairs_survive_the_file(rows: list[tuple[str, str, str]]) -> None:
    """Writing and reading change no text; the file has TRL's field names."""
    import tempfile

    pairs = [Pair(*row) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        write_pairs(path, pairs)
        assert read_pairs(path) == pairs
        first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
        assert set(first) == {"prompt", "chosen", "rejected"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"line 2: not JSON.*one object per line"),
        ("[]", "line 2: not a JSON object"),
        ('{"prompt": "a", "chosen": "b"}', 'line 2: field "rejected" is missing'),
        ('{"prompt": "a", "chosen": " ", "rejected": "c"}', 'line 2: field "chosen" is empty'),
        ('{"prompt": "a", "chosen": "b", "rejected": "b"}', "line 2: .*identical; remove"),
        ('{"prompt": "a", "chosen": ["b"], "rejected": "b"}', "line 2: .*list, not text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    """The error has file, line and remedy."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' + line + "\n")
    with pytest.raises(ValueError, match=f"mine.jsonl, {words}"):
        read_pairs(path)


def test_a_file_without_pairs(tmp_path: Path) -> None:
    """A file without pairs is an error."""
    path = tmp_path / "none.jsonl"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="no pairs"):
        read_pairs(path)


def test_writing_fails_whole(tmp_path: Path) -> None:
    """If writing fails half way, the old file is kept and no draft is left."""
    path = tmp_path / "pairs.jsonl"
    good = [Pair("a", "b", "c")]
    write_pairs(path, good)

    def broken() -> object:
        yield Pair("d", "e", "f")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_pairs(path, broken())  # type: ignore[arg-type]
    assert read_pairs(path) == good
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.jsonl"]
