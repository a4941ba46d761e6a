"""Sequence log-probabilities, on which all other results of the laboratory depend."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from dpofield.lab.batch import Batch, encode, encode_texts
from dpofield.lab.logprobs import pair_logprobs, reference_logprobs, sequence_logprobs
from dpofield.lab.model import load_causal_lm
from dpofield.lab.pairs import Pair
from dpofield.lab.world import World


def one_at_a_time(model: Any, tokenizer: Any, prompt: str, response: str) -> float:
    """Teacher forcing without padding, batching or masks: one forward pass per token."""
    ids = tokenizer(prompt).input_ids
    total = 0.0
    for token in [*tokenizer(response).input_ids, tokenizer.eos_token_id]:
        logits = model(torch.tensor([ids])).logits[0, -1].double()
        total += float(logits[token] - logits.logsumexp(0))
        ids = [*ids, token]
    return total


def logprobs(model: Any, batch: Batch) -> torch.Tensor:
    return sequence_logprobs(model, batch.input_ids, batch.attention_mask, batch.response_mask)


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_against_one_token_at_a_time(
    model: Any, tokenizer: Any, world: World, padding_side: Any
) -> None:
    """Batching, masks and positions change nothing, with padding on either side."""
    pairs = world.pairs(6, seed=0)
    batch = encode(tokenizer, pairs, padding_side=padding_side)
    lw, ll = pair_logprobs(model, batch)
    with torch.no_grad():
        expected_w = [one_at_a_time(model, tokenizer, p.prompt, p.preferred) for p in pairs]
        expected_l = [one_at_a_time(model, tokenizer, p.prompt, p.dispreferred) for p in pairs]
    torch.testing.assert_close(lw.double(), torch.tensor(expected_w).double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ll.double(), torch.tensor(expected_l).double(), rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing_in_float64(model: Any, tokenizer: Any, world: World) -> None:
    """Padding on either side changes values in the last bits only."""
    model = model.double()
    texts = world.examples(5, seed=3)
    alone = torch.cat([logprobs(model, encode_texts(tokenizer, [text])) for text in texts])
    for side in ("left", "right"):
        together = logprobs(model, encode_texts(tokenizer, texts, padding_side=side))
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_prompt_lengths_may_differ(model: Any, tokenizer: Any) -> None:
    """Prompts of different lengths: each row has the value of a batch of its own."""
    texts = [("soup at the mill :", "the soup was good ."), ("soup :", "the pie was cold .")]
    model = model.double()
    together = logprobs(model, encode_texts(tokenizer, texts))
    alone = torch.cat([logprobs(model, encode_texts(tokenizer, [text])) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_chain_rule(model: Any, tokenizer: Any) -> None:
    """log p(ab | prompt) = log p(a | prompt) + log p(b | prompt a), with the end scored in b."""
    prompt, head, tail = "soup at the mill :", "the soup was", "very good ."
    model = model.double()
    whole = encode_texts(tokenizer, [(prompt, f"{head} {tail}")])
    rest = encode_texts(tokenizer, [(f"{prompt} {head}", tail)])
    first = Batch(whole.input_ids, whole.attention_mask, whole.response_mask & ~rest.response_mask)
    assert int(first.lengths[0]) == 3
    torch.testing.assert_close(
        logprobs(model, whole), logprobs(model, first) + logprobs(model, rest), rtol=1e-12, atol=0
    )


def test_all_responses_of_a_small_vocabulary_make_a_distribution() -> None:
    """Two words and the end: responses that end, or are cut after 4 words, add up to 1."""
    config = GPT2Config(
        vocab_size=3, n_positions=8, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).double().eval()
    end, prompt, longest = 0, 1, 4

    def probability(responses: list[tuple[int, ...]]) -> float:
        ids = torch.tensor([(prompt, *r, *[end] * (longest - len(r))) for r in responses])
        scored = torch.tensor([[0, *[1] * len(r), *[0] * (longest - len(r))] for r in responses])
        real = scored.bool()
        real[:, 0] = True
        return float(sequence_logprobs(model, ids, real, scored.bool()).detach().exp().sum())

    ended = [(*r, end) for n in range(longest) for r in product((1, 2), repeat=n)]
    going_on = list(product((1, 2), repeat=longest))
    assert 0 < probability(ended) < 1
    assert probability(ended) + probability(going_on) == pytest.approx(1, abs=1e-12)


def test_gradients_reach_the_parameters(tiny_gpt2: Any, tokenizer: Any, world: World) -> None:
    """A finite difference along the gradient gives its squared norm."""
    model = tiny_gpt2.double()
    batch = encode(tokenizer, world.pairs(2, seed=0))
    value = logprobs(model, batch).sum()
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(value, parameters)
    norm2 = sum(float((g * g).sum()) for g in gradients)
    step = 1e-6 / norm2**0.5

    def moved(sign: int) -> float:
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p += sign * step * g
            value = float(logprobs(model, batch).sum())
            for p, g in zip(parameters, gradients, strict=True):
                p -= sign * step * g
        return value

    assert (moved(1) - moved(-1)) / (2 * step) == pytest.approx(norm2, rel=1e-5)


def test_chunks_change_nothing(model: Any, tokenizer: Any, world: World) -> None:
    """Values do not depend on the chunk size."""
    batch = encode(tokenizer, world.pairs(5, seed=1))
    torch.testing.assert_close(
        reference_logprobs(model, batch, chunk=3), logprobs(model, batch).detach()
    )


def test_unknown_words_are_named(tokenizer: Any) -> None:
    """A word outside the vocabulary is an error with that word, never a silent <unk>."""
    with pytest.raises(ValueError, match=r"'quinoa' in 'the quinoa was good .'"):
        encode(tokenizer, [Pair("soup :", "the quinoa was good .", "the soup was good .")])
    with pytest.raises(ValueError, match="no pairs"):
        encode(tokenizer, [])


def test_a_prompt_is_needed(model: Any) -> None:
    """No token predicts the first one of a row, so it cannot be scored."""
    ids = torch.tensor([[5, 6, 1]])
    every = torch.ones_like(ids, dtype=torch.bool)
    with pytest.raises(ValueError, match="give a prompt"):
        sequence_logprobs(model, ids, every, every)


def test_tokenizer_round_trip(tokenizer: Any, world: World, tmp_path: Path) -> None:
    """The same tokens after saving and loading, and for texts joined with or without a space."""
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for prompt, response in world.examples(20, seed=0):
        ids = tokenizer(f"{prompt} {response}").input_ids
        assert loaded(f"{prompt} {response}").input_ids == ids
        assert loaded(prompt + response).input_ids == ids
        assert loaded.decode(ids) == f"{prompt} {response}"
        assert tokenizer.unk_token_id not in ids


def test_any_local_model_loads(model: Any, tokenizer: Any, world: World, tmp_path: Path) -> None:
    """A model from a folder of save_pretrained has the same log-probs, without dropout."""
    model.config.attn_pdrop = 0.5
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, its_tokenizer = load_causal_lm(tmp_path)
    batch = encode(its_tokenizer, world.pairs(3, seed=0))
    torch.testing.assert_close(logprobs(loaded, batch), logprobs(model, batch))
    loaded.train()
    torch.testing.assert_close(logprobs(loaded, batch), logprobs(model, batch))


def test_no_model_there(tmp_path: Path) -> None:
    """An empty folder is an error."""
    with pytest.raises(ValueError, match="save_pretrained"):
        load_causal_lm(tmp_path)
