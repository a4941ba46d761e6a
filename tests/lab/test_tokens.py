"""Token rows are those of TRL's DPOTrainer, for tokenizers and chat templates of every usual kind.

The oracle is TRL's own preparation of a data set and its own collator. TRL repeats a special token
that both the text and the tokenizer have; where ours differs, the test says how.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from dpofield.lab.batch import Batch, encodable, encode, encode_texts
from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import Pair, PairList, read_pairs
from dpofield.lab.world import World
from tests.lab.tokenizer_zoo import ROLES, ZOO, sentencepiece, tokenizer

Row = tuple[list[int], list[int], list[int]]
TEXTS = (
    "Hello there, how are  you? I am fine.\n\nThe soup was hot",
    " The review is good: 123 + 4,\tnaïve 東京.",
    "user\nWhat colour is the sky? It is blue",
)
MARKED = [  # with special tokens of the usual names in the texts
    ("<s>The soup", " was good.", " was cold."),
    ("The soup", " was good.</s>", " was cold."),
    ("<s> The soup </s> ", "was good. </s>", "was </s> cold.</s>"),
    ("hi:", "\n\nhello", "hello</s>"),
    ("<s>", "hello", "there"),
]


def at_every_border() -> list[tuple[str, str, str]]:
    """Prompts that end anywhere: in a word, in a space, before one, after a line break."""
    return [
        (text[:i], text[i:], text[i : i + 1] + other)
        for text, other in zip(TEXTS, (" was cold.", "you", " friend\n"), strict=True)
        for i in range(1, len(text))
        if text[:i].strip() and text[i:].strip()
    ]


def trl_rows(tok: Any, rows: list[dict[str, Any]], **settings: Any) -> tuple[list[Row], Batch]:
    """Prompt, chosen and rejected ids of TRL, and its padded batch."""
    from datasets import Dataset, disable_progress_bars
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    disable_progress_bars()
    cut = {"max_length": None, "truncation_mode": "keep_start", **settings}
    args = SimpleNamespace(dataset_num_proc=None, **cut)
    with warnings.catch_warnings(action="ignore"):  # ByT5 warns of the second end
        made = DPOTrainer._prepare_dataset(
            SimpleNamespace(_tokenizer=tok), Dataset.from_list(rows), tok, args, "train"
        )
    pad = tok.pad_token_id if tok.pad_token_id is not None else tok.eos_token_id
    batch = DataCollatorForPreference(pad_token_id=pad, **cut)(list(made))
    return [(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for r in made], Batch(
        batch["input_ids"], batch["attention_mask"].bool(), batch["completion_mask"].bool()
    )


def same(ours: Batch, theirs: Batch) -> None:
    for name in ("input_ids", "attention_mask", "response_mask"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), msg=name)


def columns(pairs: list[Any]) -> list[dict[str, Any]]:
    return [{"prompt": p.prompt, "chosen": p.preferred, "rejected": p.dispreferred} for p in pairs]


def usable(kind: str, more: list[tuple[str, str, str]] = MARKED) -> list[Pair]:
    """The pairs that this tokenizer can tell apart and knows all words of."""
    pairs = [Pair(*texts) for texts in [*at_every_border(), *more]]
    if kind == "words-of-the-book":
        pairs = list(World().pairs(20, seed=3))
    theirs, _ = trl_rows(tokenizer(kind), columns(pairs))
    unk = {tokenizer(kind).unk_token_id} - {tokenizer(kind).eos_token_id, None}
    kept = [
        p
        for p, (prompt, w, x) in zip(pairs, theirs, strict=True)
        if w != x and prompt and not unk & {*prompt, *w, *x}
    ]
    assert len(kept) >= (3 if "words" in kind else 30)
    return kept


def parts(batch: Batch) -> list[Row]:
    """Prompt, preferred and dispreferred ids of every pair, without padding."""
    found = []
    n = len(batch) // 2
    for w in range(n):
        prompts, scored = (
            [batch.input_ids[r][m[r]].tolist() for r in (w, n + w)]
            for m in (batch.attention_mask & ~batch.response_mask, batch.response_mask)
        )
        assert prompts[0] == prompts[1]
        found.append((prompts[0], *scored))
    return found


@pytest.mark.parametrize("kind", ZOO)
def test_the_rows_of_trl(kind: str) -> None:
    """Ids, padding and scored tokens are those of TRL, wherever the prompt ends."""
    tok, pairs = tokenizer(kind), usable(kind)
    _, theirs = trl_rows(tok, columns(pairs))
    same(encode(tok, pairs, doubled=True), theirs)


@pytest.mark.parametrize("kind", ZOO)
def test_each_special_token_once(kind: str) -> None:
    """By default, rows are those of TRL, with its second beginning and its second end left out."""
    tok, pairs = tokenizer(kind), usable(kind)
    bos, eos = tok.bos_token_id, tok.eos_token_id
    theirs = []
    for prompt, *scored in trl_rows(tok, columns(pairs))[0]:
        once = prompt[1:] if prompt[:2] == [bos, bos] else prompt
        theirs.append((once, *(r[:-1] if r[-2:] == [eos, eos] else r for r in scored)))
    assert parts(encode(tok, pairs)) == theirs


@pytest.mark.parametrize("kind", ZOO)
def test_the_end_stands_at_the_end(kind: str) -> None:
    """No end of sequence between prompt and response, and one after it: fault 6, for all kinds.
    `eos=False` leaves out that token and no other."""
    tok, pairs = tokenizer(kind), usable(kind, more=[])
    whole = parts(encode(tok, pairs))
    for prompt, *scored in whole:
        assert tok.eos_token_id not in prompt or tok.eos_token_id == tok.bos_token_id
        assert all(
            ids.count(tok.eos_token_id) == 1 and ids[-1] == tok.eos_token_id for ids in scored
        )
    long_enough = [i for i, row in enumerate(whole) if min(map(len, row)) > 1]
    bare = parts(encode(tok, [pairs[i] for i in long_enough], eos=False))
    assert bare == [(whole[i][0], whole[i][1][:-1], whole[i][2][:-1]) for i in long_enough]


@pytest.mark.parametrize("kind", ["gpt2", "llama2-add-eos", "bert"])
@pytest.mark.parametrize("mode", ["keep_start", "keep_end"])
@pytest.mark.parametrize("length", [8, 14])
def test_truncation(kind: str, mode: Any, length: int) -> None:
    """Rows are cut as TRL cuts them. Pairs that TRL drops, or that lose their whole prompt, are
    errors that name the pair; `encodable` leaves out the same."""
    tok, pairs = tokenizer(kind), usable(kind)
    settings: dict[str, Any] = {"max_length": length, "truncation": mode, "doubled": True}
    with pytest.warns(UserWarning, match=r"pairs skipped \(pairs\[\d+\]: .*max_length"):
        kept = encodable(tok, pairs, **settings)
    theirs, batch = trl_rows(tok, columns(list(kept)), max_length=length, truncation_mode=mode)
    assert len(theirs) == len(kept) > 0
    same(encode(tok, kept, **settings), batch)
    rows, _ = trl_rows(tok, columns(pairs))
    lost = [
        p
        for p, (prompt, *scored) in zip(pairs, rows, strict=True)
        if max(map(len, scored)) + len(prompt) > length
        and (len(prompt) >= length if mode == "keep_start" else max(map(len, scored)) >= length)
    ]
    assert not set(lost) & set(kept)
    # The others have no different tokens left.
    assert all("same tokens" in why for why in kept.skipped[len(lost) :]) or len(lost) + len(
        [why for why in kept.skipped if "same tokens" in why]
    ) == len(kept.skipped)
    with pytest.raises(ValueError, match=r"pairs\[0\]: .*max_length"):
        encode(tok, lost, **settings)


def test_a_long_row_is_named() -> None:
    """`max_length` alone cuts nothing: a longer row is an error with its length."""
    tok, pairs = tokenizer("gpt2"), [Pair("hello", " a", " b"), Pair("hello", " a" * 9, " b")]
    assert len(encode(tok, pairs, max_length=20)) == 4
    with pytest.raises(
        ValueError, match=r"pairs\[1\]: \d+ tokens are more than max_length=6.*keep"
    ):
        encode(tok, pairs, max_length=6)
    for wrong in ({"truncation": "keep_end"}, {"max_length": 1}, {"truncation": "middle"}):
        with pytest.raises(ValueError, match=r"max_length must be|truncation="):
            encode(tok, pairs, **wrong)  # type: ignore[arg-type]


TEMPLATES = {
    "chatml": ROLES,
    "llama2": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} "
        "[/INST]{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
    ),
    "end and line break": (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    ),
    "thoughts after the prompt only": (
        ROLES.replace("assistant\n", "assistant\n<thought>\n\n</thought>\n\n")
    ),
    "tools and settings": (
        "{{ mood }}{% if tools %}{{ tools | length }} {{ tools[0].name }}{% endif %}" + ROLES
    ),
}
CHATS = [
    ([("user", "Hello there")], "I am fine", "how are you"),
    ([("system", "you"), ("user", "What colour is the sky?")], "It is blue\n", " It is hot"),
    ([("user", "hi"), ("assistant", "hello"), ("user", "how ")], "123", "1 + 2"),
]


def said(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": text} for role, text in turns]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ["qwen", "llama2-add-eos", "gemma", "two-before", "byt5"])
def test_chat_templates(kind: str, template: str) -> None:
    """Messages give TRL's rows: generation prompt, the template's own end, no token around."""
    tok = tokenizer(kind)
    more: dict[str, Any] = {}
    if template == "tools and settings":
        more = {"tools": [{"name": "search"}], "chat_template_kwargs": {"mood": "fine "}}
    pairs = [
        Conversation(
            said(*turns), said(("assistant", w)), said(("assistant", x)),
            more.get("tools"), more.get("chat_template_kwargs", {}),
        )
        for turns, w, x in CHATS
    ]  # fmt: skip
    tok.chat_template = TEMPLATES[template]
    try:
        _, theirs = trl_rows(tok, [row | more for row in columns(pairs)])
        same(encode(tok, pairs), theirs)
        same(encode(tok, pairs, doubled=True), theirs)
        bare = parts(encode(tok, pairs, eos=False))
        for (_, *ours), (_, *full) in zip(bare, parts(theirs), strict=True):
            for a, b in zip(ours, full, strict=True):  # without the end and what follows it
                assert tok.eos_token_id not in a
                assert a == b[: len(a)]
                assert tok.eos_token_id in b[len(a) : len(a) + 1] or a == b
        mixed = encode(tok, [Pair("hi", " a", " you"), *pairs])
        assert parts(mixed)[1:] == parts(encode(tok, pairs))
    finally:
        tok.chat_template = None


def test_what_a_template_refuses() -> None:
    """No template, and messages that the template refuses, are errors by name with the remedy."""
    tok = tokenizer("qwen")
    chat = Conversation(said(("user", "hi")), said(("assistant", "a")), said(("assistant", "you")))
    with pytest.raises(ValueError, match=r"pairs\[0\]: the tokenizer has no chat template: use"):
        encode(tok, [chat])
    tok.chat_template = "{{ raise_exception('roles must alternate') }}"
    try:
        with pytest.raises(ValueError, match=r"refuses the messages: roles must alternate"):
            encode(tok, [chat])
    finally:
        tok.chat_template = None


def test_a_data_set_that_trl_has_prepared(tmp_path: Path) -> None:
    """TRL writes the end of sequence into the texts; read from its folder, rows are the same."""
    from datasets import Dataset

    tok, pairs = tokenizer("llama3"), usable("llama3", more=[])[:20]
    rows = [
        row | {"chosen": row["chosen"] + "</s>", "rejected": row["rejected"] + "</s>",
               "prompt_ids": [1], "ref_chosen_logps": -1.5 - i, "ref_rejected_logps": -2.0}
        for i, row in enumerate(columns(pairs))
    ]  # fmt: skip
    Dataset.from_list(rows).save_to_disk(tmp_path / "prepared")
    read = read_pairs(tmp_path / "prepared")
    same(encode(tok, read), encode(tok, pairs))
    assert read.reference is not None
    assert read.reference[0].tolist() == [row["ref_chosen_logps"] for row in rows]


def test_rows_of_the_book(world: World) -> None:
    """The word tokenizer gives the rows of the recorded runs: prompt, response, end. Words are kept
    apart also where the texts have no space."""
    tok = tokenizer("words-of-the-book")
    texts = [*world.examples(50, seed=1), ("soup :", ": good ."), ("the soup", "was good .")]
    ids = [[tok(text).input_ids for text in pair] for pair in texts]
    batch = encode_texts(tok, texts)
    for row, (prompt, response) in enumerate(ids):
        found = batch.input_ids[row][batch.attention_mask[row]].tolist()
        assert found == [*prompt, *response, tok.eos_token_id]
        assert int(batch.lengths[row]) == len(response) + 1


def test_pairs_with_the_same_tokens() -> None:
    """Texts may differ and their tokens not, so the loss would stay log 2: fault 20."""
    tok = tokenizer("words-of-the-book")
    pairs = PairList(
        [Pair("soup :", "good .", "cold ."), Pair("soup :", "good .", "good."),
         Pair("soup :", "very good .", "cold .")],
        places=["f, line 1", "f, line 2", "f, line 3"],
        reference=torch.arange(6.0).double().numpy().reshape(2, 3),
    )  # fmt: skip
    with pytest.raises(ValueError, match="f, line 2: both responses have the same tokens"):
        encode(tok, pairs)
    with pytest.warns(UserWarning, match="1 of 3 pairs skipped"):
        kept = encodable(tok, pairs)
    assert list(kept) == [pairs[0], pairs[2]]
    assert kept.places == ("f, line 1", "f, line 3")
    assert kept.reference is not None
    assert kept.reference.tolist() == [[0, 2], [3, 5]]
    assert len(encode(tok, kept)) == 4
    with warnings.catch_warnings(action="error"):
        assert encodable(tok, kept).skipped == kept.skipped


def test_the_unknown_token_in_a_text() -> None:
    """A token that is also the unknown token may be written in a text: fault 21. Characters that
    are unknown are named."""
    tok = tokenizer("unigram-t5")
    row = encode(tok, [Pair("The soup", " was <unk>.", " was cold.")])
    assert int((row.input_ids == tok.unk_token_id).sum()) == 1
    with pytest.raises(ValueError, match=r"unknown to this tokenizer: '🙂' in ' was 🙂 <unk>'"):
        encode(tok, [Pair("The soup", " was 🙂 <unk>", " was cold.")])


def test_texts_that_no_tokenizer_takes() -> None:
    """Half an emoji and texts without tokens: a ValueError that says which, never a TypeError."""
    with pytest.raises(ValueError, match=r"texts\[1\]: a response contains half a char.*U\+D83D"):
        encode_texts(tokenizer("gpt2"), [("hi", "a"), ("hi", "a \ud83d")])
    with pytest.raises(ValueError, match=r"texts\[0\]: ' ' has no tokens"):
        encode_texts(tokenizer("words-of-the-book"), [("soup :", " ")], eos=False)
    with pytest.raises(ValueError, match=r"merged.*write a longer prompt"):
        encode_texts(tokenizer("gpt2"), [("Hel", "lo there")])
    with pytest.raises(ValueError, match="no texts"):
        encode_texts(tokenizer("gpt2"), [])


def test_a_tokenizer_without_an_end() -> None:
    """An error with both remedies, and a tokenizer that cuts its own end into pieces."""
    tok = sentencepiece("bpe", "first")
    tok.split_special_tokens = True
    with pytest.raises(ValueError, match=r"'</s>', as several tokens"):
        encode_texts(tok, [("hi", "a")])
    tok.eos_token = None
    with pytest.raises(ValueError, match=r"set tokenizer.eos_token, or use eos=False"):
        encode_texts(tok, [("hi", "a")])
    tok.pad_token = None
    assert encode_texts(tok, [("hi", " a"), ("hi", " a you")], eos=False).input_ids[0, -1] == 0


class Talkative(PreTrainedTokenizerFast):
    """A tokenizer that warns of lengths, and returns a plain dict with more than ids."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        warnings.warn("longer than the maximum length", stacklevel=1)
        found = super().__call__(*arguments, return_token_type_ids=True, **settings)
        return dict(found)


@pytest.mark.parametrize("side", ["left", "right"])
def test_other_tokenizers(side: Any) -> None:
    """Warnings, dicts, a small maximum length and padding on the left make no difference."""
    plain = tokenizer("llama2")
    odd = Talkative(
        tokenizer_object=plain.backend_tokenizer, bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", pad_token="<pad>", model_max_length=3, padding_side="left",
    )  # fmt: skip
    pairs = usable("llama2")[:9]
    same(encode(odd, pairs, padding_side=side), encode(plain, pairs, padding_side=side))
    assert parts(encode(plain, pairs, padding_side=side)) == parts(encode(plain, pairs))
