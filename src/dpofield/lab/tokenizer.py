"""The small world's tokenizer: one token per word, in the `transformers` format."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dpofield.lab.grammar import vocabulary

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


def word_tokenizer(words: tuple[str, ...] = vocabulary()) -> PreTrainedTokenizerFast:
    """A word-level tokenizer for these words (by default the small world's).

    Punctuation marks are separate tokens, so a prompt and a response may be joined with or without
    a space. `save_pretrained` and `AutoTokenizer.from_pretrained` work as usual.

    >>> tokenizer = word_tokenizer()
    >>> tokenizer.decode(tokenizer("the soup was good .").input_ids)
    'the soup was good .'
    """
    ids = {word: i for i, word in enumerate((PAD, EOS, UNK, *words))}
    core = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
    )
