"""Small tokenizers of the kinds that people train with, made here from a few sentences.

`ZOO` has one constructor for each kind: the algorithm, how spaces become tokens, and the special
tokens that are put around every text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from dpofield.lab.tokenizer import word_tokenizer

TEXT = [
    "Hello there, how are you today? I am fine, thank you.",
    "The soup was hot and the pie was cold. The review is good.\n\nHuman: hi\n\nAssistant: hello",
    "user\nWhat colour is the sky?\nassistant\nIt is blue, as you can see.",
    "naïve café, 123 + 456 = 579; 東京 is a city.",
] * 4
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]

ROLES = (  # ChatML, as Qwen and SmolLM write it
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def wrapped(core: Tokenizer, **names: str) -> Any:
    """The tokenizer in the form of `transformers`."""
    usual = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, **{k: v for k, v in {**usual, **names}.items() if v}
    )


def around(core: Tokenizer, single: str) -> None:
    """Special tokens around every text, for example "<s> $A </s>"."""
    ids = [(name, core.token_to_id(name)) for name in single.split() if name != "$A"]
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)


def bytelevel(single: str = "$A", **names: str) -> Any:
    """Byte-level BPE, as of GPT-2, Llama 3 and Qwen."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    around(core, single)
    return wrapped(core, **{"unk_token": "", **names})


def sentencepiece(
    model: str, scheme: str, single: str = "<s> $A", *, strip: bool = False, legacy: bool = False
) -> Any:
    """BPE with byte fallback or Unigram over "▁", with spaces as Llama, Gemma or T5 have them."""
    pieces = [f"<0x{i:02X}>" for i in range(256)]
    special = [*SPECIAL, *pieces]
    if model == "bpe":
        core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        trainer: Any = trainers.BpeTrainer(
            vocab_size=600, special_tokens=special, show_progress=False
        )
    else:
        core = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        )
    if legacy:  # Llama 2 as converted at first: a normalizer puts the space before the text
        core.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    if strip:
        core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    core.train_from_iterator(TEXT, trainer)
    around(core, single)
    if model == "bpe":
        # the bytes are ordinary pieces of the vocabulary, which a text cannot write
        return wrapped(_without_added(core, pieces))
    return wrapped(core)


def _without_added(core: Tokenizer, names: list[str]) -> Tokenizer:
    import json

    state = json.loads(core.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in names]
    return Tokenizer.from_str(json.dumps(state))


def wordpiece() -> Any:
    """BERT's: lower case, [CLS] before and [SEP] after every text."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.train_from_iterator(
        TEXT,
        trainers.WordPieceTrainer(
            vocab_size=300,
            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
            show_progress=False,
        ),
    )
    around(core, "[CLS] $A [SEP]")
    return wrapped(core, bos_token="[CLS]", eos_token="[SEP]", unk_token="[UNK]", pad_token="[PAD]")


def words(single: str) -> Any:
    """One token per word, with special tokens around."""
    found = {w for t in TEXT for w, _ in pre_tokenizers.Whitespace().pre_tokenize_str(t)}
    core = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *sorted(found)])}, "<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    around(core, single)
    return wrapped(core)


ZOO: dict[str, Callable[[], Any]] = {
    "gpt2": partial(bytelevel, bos_token="</s>", unk_token="</s>", pad_token=""),
    "llama3": partial(bytelevel, "<s> $A"),
    "qwen": partial(bytelevel, eos_token="<|im_end|>", bos_token=""),
    "bytelevel-bos-eos": partial(bytelevel, "<s> $A </s>"),
    "two-before": partial(bytelevel, "<s> <|im_start|> $A"),
    "llama2": partial(sentencepiece, "bpe", "first"),
    "llama2-add-eos": partial(sentencepiece, "bpe", "first", "<s> $A </s>"),
    "llama2-legacy": partial(sentencepiece, "bpe", "first", legacy=True),
    "gemma": partial(sentencepiece, "bpe", "never"),
    "always-prepended": partial(sentencepiece, "bpe", "always"),
    "unigram-t5": partial(sentencepiece, "unigram", "always", "$A </s>"),
    "unigram-stripped": partial(sentencepiece, "unigram", "first", strip=True),
    "bert": wordpiece,
    "words-bos-eos": partial(words, "<s> $A </s>"),
    "words-of-the-book": word_tokenizer,
    "byt5": ByT5Tokenizer,  # written in Python, with an end of sequence
}


@cache
def tokenizer(kind: str) -> Any:
    """The tokenizer of that kind, made once."""
    return ZOO[kind]()
