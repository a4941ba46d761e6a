"""Trees give the numbers of the reference implementation, whatever the rows have in common."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.modules.module import register_module_forward_hook
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from dpofield.lab import logprobs as lp
from dpofield.lab.batch import Batch, encode, encode_texts
from dpofield.lab.logprobs import logprobs, pair_logprobs, reference_logprobs, sequence_logprobs
from dpofield.lab.settings import Training
from dpofield.lab.sharing import way_of
from dpofield.lab.training import dpo, sft
from dpofield.lab.trees import (
    Forest,
    forest_logprobs,
    harvest,
    plant,
    takes_trees,
    tree_logprobs,
)
from dpofield.lab.world import World
from tests.lab.zoo import ZOO

Row = tuple[list[int], list[int]]
"""Token ids of a prompt, and of the scored tokens after it."""

# Cases that could break the equality with the reference; tokens 3 to 9 are words.
ROWS: dict[str, list[Row]] = {
    "uneven lengths": [([3, 4, 5], [6, 7, 8, 9, 3, 1]), ([3, 4, 5], [6, 1]), ([4], [5, 6, 1])],
    "no common beginning": [([3, 4], [5, 1]), ([6, 7], [8, 9, 1])],
    "identical responses": [([3, 4], [5, 6, 1]), ([3, 4], [5, 6, 1])],
    "one token": [([3], [1]), ([3], [5]), ([4, 4], [1])],
    "one inside the other": [([3, 4], [5, 6, 7, 1]), ([3, 4], [5, 6]), ([3, 4, 5], [6, 7, 1])],
    "one word apart": [([3, 4], [5, 6, 7, 8, 1]), ([3, 4], [5, 9, 7, 8, 1])],
    "one row": [([3, 4, 5], [6, 7, 1])],
}

rows_of_tokens = st.lists(
    st.tuples(
        st.lists(st.integers(3, 5), min_size=1, max_size=4),
        st.lists(st.integers(3, 5), min_size=1, max_size=7),
    ),
    min_size=1,
    max_size=9,
)


def batch_of(rows: list[Row], side: str = "right", *, hide: int = 0) -> Batch:
    """The batch that holds these rows; the first `hide` tokens of each response are not scored."""
    width = max(len(p) + len(r) for p, r in rows) + 1  # a column of padding for all
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    real, scored = torch.zeros_like(ids).bool(), torch.zeros_like(ids).bool()
    for i, (prompt, response) in enumerate(rows):
        n = len(prompt) + len(response)
        start = width - n if side == "left" else 0
        ids[i, start : start + n] = torch.tensor(prompt + response)
        real[i, start : start + n] = True
        scored[i, start + len(prompt) + hide : start + n] = True
    return Batch(ids, real, scored)


def parts(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return batch.input_ids, batch.attention_mask, batch.response_mask


def exact(model: Any) -> Any:
    """The model in float64 throughout; the Llama norm of transformers is always in float32."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LlamaRMSNorm):
                norm = torch.nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)
    return model.double()


def both(model: Any, batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Values, and the gradient of a weighted sum of them, by trees and by the reference."""
    weights = torch.linspace(-1, 2, len(batch), dtype=torch.float64)
    found = []
    for form in (tree_logprobs, sequence_logprobs):
        values = form(model, *parts(batch))
        grads = torch.autograd.grad((values * weights).sum(), list(model.parameters()))
        found.append((values.detach(), torch.cat([g.flatten() for g in grads])))
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_the_same_numbers_in_float64(model: Any, rows: list[Row], side: str) -> None:
    """Values and gradients agree with the reference to 1e-12."""
    (tree, slope), (plain, its_slope) = both(exact(model), batch_of(rows, side))
    torch.testing.assert_close(tree, plain, rtol=1e-12, atol=1e-12)
    assert float((slope - its_slope).norm() / its_slope.norm()) < 1e-12


def test_the_same_numbers_in_float32(model: Any, tokenizer: Any, world: World) -> None:
    """In float32 to 1e-6, or about as close to the float64 gradient as the reference is."""
    truth = exact(copy.deepcopy(model))
    for distance in (1, 4, None):
        batch = encode(tokenizer, world.pairs(16, seed=2, edit_distance=distance))
        (tree, slope), (plain, its_slope) = both(model, batch)
        torch.testing.assert_close(tree, plain, rtol=1e-6, atol=0)
        true_slope = both(truth, batch)[1][1]
        misses = [(s - true_slope).norm() / true_slope.norm() for s in (slope, its_slope)]
        assert float(misses[0]) < max(1e-6, 1.2 * float(misses[1]))


@settings(max_examples=25, deadline=None)
@given(rows_of_tokens, st.sampled_from(["left", "right"]), st.integers(0, 1))
def test_any_rows(rows: list[Row], side: str, hide: int) -> None:
    """Random rows, some of them without a scored token."""
    from dpofield.lab.model import small_gpt2

    batch = batch_of(rows, side, hide=hide)
    model = small_gpt2(seed=1, layers=2, width=16, heads=2).double()
    tree, plain = (f(model, *parts(batch)) for f in (tree_logprobs, sequence_logprobs))
    torch.testing.assert_close(tree, plain, rtol=1e-12, atol=1e-12)


@given(rows_of_tokens, st.sampled_from(["left", "right"]))
def test_a_place_stands_after_its_own_path(rows: list[Row], side: str) -> None:
    """Without a model: a place attends to its own prefix, and predicts the next token."""
    forest = plant(*parts(batch_of(rows, side)))
    seen, width = sight(forest), forest.rows.shape[1]
    scored: list[list[int]] = [[] for _ in rows]
    for s, place, token in zip(
        forest.sequence.tolist(), forest.place.tolist(), forest.token.tolist(), strict=True
    ):
        r, c = divmod(int(forest.home[place]), width)
        assert forest.rows[r, c] == place
        path = forest.rows[r][seen[r, c]]
        whole = rows[s][0] + rows[s][1]
        assert forest.input_ids[path].tolist() == whole[: len(path)]
        assert forest.depth[path].tolist() == list(range(len(path)))
        assert token == whole[len(path)]
        scored[s].append(token)
    assert scored == [response for _, response in rows]
    assert bool(seen.diagonal(dim1=1, dim2=2).all()), "a place that sees nothing gives nan"


def sight(forest: Forest) -> torch.Tensor:
    """Which entry of an attention row attends to which, (A, T, T) bool."""
    return forest.sees().expand(len(forest.rows), -1, -1)


@given(rows_of_tokens)
def test_every_beginning_is_computed_once(rows: list[Row]) -> None:
    """The number of places is the number of distinct prefixes that are read."""
    forest = plant(*parts(batch_of(rows)))
    read = [tuple(p + r)[:-1] for p, r in rows]
    beginnings = {row[:n] for row in read for n in range(1, len(row) + 1)}
    assert len(forest.input_ids) == len(beginnings)


def test_one_pair_is_one_tree() -> None:
    """Prompt and common words are read once, then two branches; the last tokens are not read."""
    rows = [([3, 4], [5, 6, 7, 8, 1]), ([3, 4], [5, 9, 7, 8, 1])]
    forest = plant(*parts(batch_of(rows)))
    assert forest.input_ids.tolist() == [3, 4, 5, 6, 7, 8, 9, 7, 8]
    assert forest.depth.tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert forest.place.tolist() == [1, 2, 3, 4, 5, 1, 2, 6, 7, 8]
    assert forest.rows.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8]]
    assert forest.end is not None
    assert forest.end.tolist() == [[9, 9, 9, 6, 6, 6, 9, 9, 9]]


def test_long_branches_are_rows_of_their_own() -> None:
    """If little is shared, two attention rows are cheaper than one with both branches."""
    rows = [([3], [*range(4, 9)] * 8), ([3], [*range(8, 3, -1)] * 8)]
    forest = plant(*parts(batch_of(rows)))
    assert forest.end is None
    assert forest.rows.shape == (2, 40)
    assert len(forest.input_ids) == 79


def test_what_pairs_of_the_world_share(tokenizer: Any, world: World) -> None:
    """Pairs with one edit have less than half as many places as tokens and padding."""
    batch = encode(tokenizer, world.pairs(32, seed=0, edit_distance=1))
    assert len(plant(*parts(batch)).input_ids) < batch.input_ids.numel() / 2


def test_both_kinds_of_attention(model: Any) -> None:
    """Trees also agree with eager attention, but in float64, where its softmax is in float32."""
    batch = batch_of(ROWS["uneven lengths"])
    model.set_attn_implementation("eager")
    expected = sequence_logprobs(model, *parts(batch))
    torch.testing.assert_close(tree_logprobs(model, *parts(batch)), expected, rtol=1e-6, atol=1e-5)
    assert not takes_trees(exact(model))


def test_all_responses_of_a_prompt(tiny_gpt2: Any, tokenizer: Any, world: World) -> None:
    """All responses: the reference's numbers, from hardly more places than distinct prefixes."""
    prompt = world.prompts[7]
    batch = encode_texts(tokenizer, [(prompt, r) for r in world.responses(prompt)])
    forest, seen = plant(*parts(batch)), []
    assert takes_trees(tiny_gpt2)
    last = tiny_gpt2.transformer.ln_f
    count = register_module_forward_hook(
        lambda module, args, out: seen.append(out.shape[:-1].numel()) if module is last else None
    )
    together = harvest(tiny_gpt2, forest)
    count.remove()
    torch.testing.assert_close(
        together, reference_logprobs(tiny_gpt2, batch, share=False), rtol=1e-5, atol=1e-4
    )
    assert 0 < float(together.exp().sum()) < 1
    read = [
        ids[real][:-1].tolist()
        for ids, real in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    beginnings = {tuple(row[:n]) for row in read for n in range(1, len(row) + 1)}
    assert len(beginnings) <= sum(seen) < 1.1 * len(beginnings)


def test_a_harvest_in_parts_is_the_harvest(tiny_gpt2: Any, tokenizer: Any, world: World) -> None:
    """For any number of attention rows per pass, with one path per row and with several."""
    prompt = world.prompts[3]
    whole_set = [(prompt, r) for r in world.responses(prompt)[::40]]
    for batch in (encode(tokenizer, world.pairs(40, seed=1)), encode_texts(tokenizer, whole_set)):
        forest = plant(*parts(batch))
        assert len(forest.rows) > 3
        whole = forest_logprobs(tiny_gpt2, forest).detach()
        for places in (1, 2 * forest.rows.shape[1], 10**6):
            torch.testing.assert_close(harvest(tiny_gpt2, forest, places=places), whole)


def test_the_choice(tiny_gpt2: Any, tokenizer: Any, world: World, monkeypatch: Any) -> None:
    """Trees if the model supports them, else rows; `share=True` is then an error."""
    calls: list[str] = []

    def counted(name: str) -> Any:
        real = getattr(lp, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("tree_logprobs", "sequence_logprobs"):
        monkeypatch.setattr(lp, name, counted(name))
    pairs = encode(tokenizer, world.pairs(2, seed=0))
    other = ZOO["bloom"]()
    logprobs(tiny_gpt2, pairs)
    logprobs(tiny_gpt2, pairs, share=False)
    pair_logprobs(other, pairs)
    assert calls == ["tree_logprobs", "sequence_logprobs", "sequence_logprobs"]
    with pytest.raises(ValueError, match=r"not proven for 'bloom'.*leave share at None"):
        logprobs(other, pairs, share=True)
    with pytest.raises(ValueError, match="not proven for 'function'"):
        pair_logprobs(lambda **_: None, pairs, share=True)  # type: ignore[arg-type]


def test_a_failed_pass_leaves_the_model_alone(model: Any) -> None:
    """The model's own attention is restored, also after an error."""
    before = model.config._attn_implementation
    tree_logprobs(model, *parts(batch_of(ROWS["one row"])))
    assert model.config._attn_implementation == before
    for strange in ([3] * 9 + [10**6], [3, 10**6]):  # a token outside the vocabulary
        with pytest.raises(IndexError):
            tree_logprobs(model, *parts(batch_of([(strange, [3, 1])])))
        assert model.config._attn_implementation == before
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_end_of_the_last_layer_is_for_places_that_predict(model: Any) -> None:
    """Only places that predict a scored token pass through the last feed-forward block."""
    rows, seen = [([3] * 20, [5, 1]), ([3] * 20, [6, 1])], []
    way = way_of(model)
    assert way is not None
    last = model.get_submodule(way.ends[-1])
    count = register_module_forward_hook(
        lambda module, args, out: seen.append(args[0].shape[1]) if module is last else None
    )
    tree_logprobs(model, *parts(batch_of(rows)))
    count.remove()
    assert seen == [3]  # the last of the prompt, and each response's word


def test_a_nan_is_not_spread_to_neighbours(tiny_gpt2: Any, tokenizer: Any, world: World) -> None:
    """A nan spreads within an attention row; the reference is then used, which spreads none."""
    batch = encode(tokenizer, world.pairs(8, seed=0))
    with torch.no_grad():
        tiny_gpt2.transformer.wpe.weight[int(batch.attention_mask.sum(dim=1).max()) - 2] = np.nan
    for values in (logprobs(tiny_gpt2, batch), reference_logprobs(tiny_gpt2, batch)):
        plain = sequence_logprobs(tiny_gpt2, *parts(batch))
        assert 0 < int(plain.isnan().sum()) < len(batch)
        assert torch.equal(values.isnan(), plain.isnan())


def test_a_prompt_is_needed(tiny_gpt2: Any) -> None:
    """The same error as that of the reference."""
    every = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="give a prompt"):
        plant(torch.tensor([[5, 6, 1]]), every, every)


def test_no_rows(tiny_gpt2: Any) -> None:
    """An empty batch has no log-probabilities."""
    empty = batch_of(ROWS["one row"]).rows(slice(0, 0))
    assert tree_logprobs(tiny_gpt2, *parts(empty)).shape == (0,)
    assert isinstance(plant(*parts(empty)), Forest)


def test_training_is_the_same_training(model: Any, tokenizer: Any, world: World) -> None:
    """SFT losses and the records of DPO are the same with and without trees."""
    model = exact(model)
    examples = encode_texts(tokenizer, world.examples(16, seed=0))
    pairs = encode(tokenizer, world.pairs(6, seed=0, edit_distance=2))
    reference = reference_logprobs(model, pairs)
    ends = []
    for share in (None, False):
        policy = copy.deepcopy(model)
        losses = sft(
            policy, examples, steps=5, batch=4, lr=1e-3, seed=0, share=share, progress=False
        )
        settings = Training(steps=5, batch=4, lr=1e-3, seed=0)
        run = dpo(policy, reference, pairs, settings, share=share, progress=False)
        ends.append((losses, run.lw, run.ll, run.dx1))
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_a_harvest_of_uneven_paths(tiny_gpt2: Any) -> None:
    """Padding at the end of single-path attention rows changes nothing."""
    rows = [([3], [*range(4, 9)] * 8), ([3], [*range(8, 3, -1)] * 8 + [3]), ([3], [9] * 30)]
    batch = batch_of(rows)
    forest = plant(*parts(batch))
    assert forest.end is None
    expected = sequence_logprobs(tiny_gpt2, *parts(batch)).detach()
    for places in (1, 2 * forest.rows.shape[1], 10**6):
        torch.testing.assert_close(harvest(tiny_gpt2, forest, places=places), expected)
