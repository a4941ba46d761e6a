"""Any causal language model is loaded or refused by name, and prepared without randomness."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel

from dpofield.lab.batch import Batch, encode
from dpofield.lab.model import load_causal_lm, prepared, small_gpt2, small_llama
from dpofield.lab.tokenizer import word_tokenizer
from dpofield.lab.world import World
from tests.lab.zoo import ZOO

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
)
NOISE = re.compile(r"drop|pdrop|^router_jitter_noise$")


@pytest.fixture(scope="module")
def pairs() -> Batch:
    return encode(word_tokenizer(), World().pairs(2, seed=0))


def logits(model: Any, pairs: Batch) -> Tensor:
    """The model's logits, as it is, without a row that needs padding."""
    with torch.no_grad():
        found: Tensor = model(input_ids=pairs.input_ids, use_cache=False).logits
    return found


def noisy(family: str) -> Any:
    """A tiny model with every rate of dropout in its configuration at 0.3."""
    names = [
        name
        for name, value in vars(ZOO[family]().config).items()
        if NOISE.search(name) and isinstance(value, float)
    ]
    return ZOO[family](**dict.fromkeys(names, 0.3)), names


# MPT ignores the rates in its configuration; the other two sample experts and refuse a rate.
IGNORED, OTHERS = {"mpt"}, {"phimoe", "diffllama"}


@pytest.mark.parametrize("family", sorted(ZOO.keys() - OTHERS))
def test_train_mode_after_prepared_is_eval_mode(family: str, pairs: Batch) -> None:
    """Every rate that a configuration has is switched off: the logits of eval mode before."""
    model, names = noisy(family)
    expected = logits(model.eval(), pairs)
    if names and family not in IGNORED:
        assert not torch.equal(logits(model.train(), pairs), expected)
    found = logits(prepared(model).train(), pairs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_noise_of_adapters_and_embeddings(pairs: Batch) -> None:
    """The dropout of a PEFT adapter, and NEFTune's noise on embeddings."""
    config = LoraConfig(target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM")
    model = get_peft_model(ZOO["llama"](), config).double()
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data.normal_(0, 0.3)
    table = model.get_input_embeddings()
    table.neftune_noise_alpha = 5.0

    def noise(module: Any, _: Any, output: Tensor) -> Tensor:
        return output + module.neftune_noise_alpha * torch.randn_like(output) * module.training

    table.register_forward_hook(noise)
    expected = logits(model.eval(), pairs)
    assert not torch.equal(logits(model.train(), pairs), expected)
    torch.testing.assert_close(logits(prepared(model).train(), pairs), expected, rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole model and a folder with an adapter on it."""
    root = tmp_path_factory.mktemp("models")
    model = small_llama(seed=1, layers=1, width=32)
    model.save_pretrained(root / "base")
    word_tokenizer().save_pretrained(root / "base")
    loaded, _ = load_causal_lm(root / "base")
    config = LoraConfig(target_modules=["q_proj"], lora_dropout=0.3, task_type="CAUSAL_LM")
    adapter = get_peft_model(loaded, config)
    for name, p in adapter.named_parameters():
        if "lora_B" in name:
            p.data.normal_(0, 0.3)
    adapter.save_pretrained(root / "adapter")
    return root


def test_a_folder_of_an_adapter(saved: Path, pairs: Batch, tmp_path: Path) -> None:
    """The base model with the adapter, of which the adapter's parameters are trained; also when
    both folders have moved together and the base is named by a relative path."""
    model, tokenizer = load_causal_lm(saved / "adapter")
    assert len(tokenizer) == len(word_tokenizer())
    assert {"lora_" in n for n, p in model.named_parameters() if p.requires_grad} == {True}
    base, _ = load_causal_lm(saved / "base")
    assert (logits(model, pairs) - logits(base, pairs)).abs().max() > 0.1
    with model.disable_adapter():
        torch.testing.assert_close(logits(model, pairs), logits(base, pairs))
    for name in ("base", "adapter"):
        shutil.copytree(saved / name, tmp_path / name)
    rewrite(tmp_path / "adapter", base_model_name_or_path="../base")
    again, _ = load_causal_lm(tmp_path / "adapter", dtype="bfloat16")
    assert again.get_input_embeddings().weight.dtype == torch.bfloat16


def test_shards(tmp_path: Path, pairs: Batch) -> None:
    """A model in several files is loaded whole."""
    model = small_llama(seed=1, layers=1, width=32)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    word_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    found, _ = load_causal_lm(tmp_path)
    torch.testing.assert_close(logits(found, pairs), logits(model, pairs))


def rewrite(folder: Path, name: str = "adapter_config.json", **values: Any) -> None:
    config = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps(config))


def without_a_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    kept = {k: t for k, t in load_file(path).items() if "up_proj" not in k}
    save_file(kept, path, metadata={"format": "pt"})


def with_a_small_vocabulary(folder: Path) -> None:
    model = small_llama(seed=1, layers=1, width=32)
    model.resize_token_embeddings(50)
    model.save_pretrained(folder)


def an_encoder(kind: Any, folder: Path) -> None:
    shape = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    kind(BertConfig(vocab_size=63, num_hidden_layers=1, **shape)).save_pretrained(folder)


def without_an_end(folder: Path) -> None:
    tokenizer = word_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)


FOLDERS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no weights": (
        "base",
        lambda f: (f / "model.safetensors").unlink(),
        "no causal LM at .*no file named model.safetensors",
    ),
    "cut": (
        "base",
        lambda f: (f / "model.safetensors").write_bytes(b"1234"),
        "no causal LM at .*save_pretrained",
    ),
    "lacking": (
        "base",
        without_a_weight,
        "lacks weights of LlamaForCausalLM, which would be random .*up_proj",
    ),
    "encoder": ("base", partial(an_encoder, BertModel), "lacks weights of BertLMHeadModel"),
    "both directions": (
        "base",
        partial(an_encoder, BertForMaskedLM),
        "BertLMHeadModel at .* is no causal LM: .* depends on later tokens",
    ),
    "vocabulary": (
        "base",
        with_a_small_vocabulary,
        r"has 63 tokens and .* 50 rows: call model.resize_token_embeddings\(63\)",
    ),
    "end": ("base", without_an_end, "no end-of-sequence token"),
    "empty": (
        "base",
        lambda f: [p.unlink() for p in f.iterdir()],
        "no causal LM at .*save_pretrained",
    ),
    "adapter without weights": (
        "adapter",
        lambda f: (f / "adapter_model.safetensors").unlink(),
        "lacks adapter_model.safetensors",
    ),
    "adapter without base": (
        "adapter",
        lambda f: rewrite(f, base_model_name_or_path=None),
        "lacks the name of its base model",
    ),
    "base on the hub": (
        "adapter",
        lambda f: rewrite(f, base_model_name_or_path="someone/base"),
        "names the base model 'someone/base'.*where there is a network",
    ),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_that_is_refused(saved: Path, tmp_path: Path, what: str) -> None:
    """Each is one `ValueError` that names the folder, the reason and the remedy."""
    kind, spoil, words = FOLDERS[what]
    folder = tmp_path / "model"
    shutil.copytree(saved / kind, folder)
    spoil(folder)
    with pytest.raises(ValueError, match=f"(?s){words}") as error:
        load_causal_lm(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"dtype": "float12"}, "float12"), ({"gguf_file": "x.gguf"}, "x.gguf|gguf>=")],
)
def test_options_that_are_refused(saved: Path, options: dict[str, Any], words: str) -> None:
    """An unknown dtype, and a GGUF file that is not there or whose package is not there."""
    with pytest.raises(ValueError, match=words):
        load_causal_lm(saved / "base", **options)


def test_prepared_keeps_what_is_no_noise() -> None:
    """PhiMoE's `router_jitter_noise` chooses experts in eval mode too, so it must stay."""
    model = small_gpt2(seed=1, layers=1, width=16, heads=2)
    model.transformer.h[0].mlp.router_jitter_noise = 0.01
    model.transformer.h[0].mlp.jitter_noise = 0.01
    mlp = prepared(model).transformer.h[0].mlp
    assert (mlp.router_jitter_noise, mlp.jitter_noise) == (0.01, 0.0)
