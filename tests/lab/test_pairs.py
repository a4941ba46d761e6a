"""Rows become pairs of texts or of messages as TRL reads them; everything else is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import Pair, PairList, read_pairs, write_pairs

GOOD = {"prompt": "a", "chosen": "b", "rejected": "c"}
HH = "\n\nHuman: Is it hot?\n\nAssistant:"


def turns(*texts: str, first: str = "user") -> list[dict[str, Any]]:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def sharegpt(*texts: str) -> list[dict[str, Any]]:
    return [{"from": ["human", "gpt"][i % 2], "value": text} for i, text in enumerate(texts)]


CHAT = {
    "prompt": turns("hi"),
    "chosen": turns("yes", first="assistant"),
    "rejected": turns("no", first="assistant"),
}
SAID = Conversation(CHAT["prompt"], CHAT["chosen"], CHAT["rejected"])
WHOLE = {"chosen": turns("hi", "yes"), "rejected": turns("hi", "no")}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


READ: dict[str, dict[str, Any]] = {
    "messages": CHAT,
    "implicit prompt": WHOLE,
    "implicit prompt that is also a text": {"prompt": "hi", **WHOLE},
    "ShareGPT": {
        "prompt": sharegpt("hi"),
        "chosen": [{"from": "gpt", "value": "yes"}],
        "rejected": [{"from": "assistant", "value": "no"}],
    },
    "one message as an object": {
        "conversations": sharegpt("hi"),
        "chosen": {"from": "gpt", "value": "yes"},
        "rejected": {"from": "gpt", "value": "no"},
    },
    "columns that are empty": CHAT | {"system": None, "images": [], "tools": None},
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("form", ["lines", "parquet", "dataset"])
def test_conversations(tmp_path: Path, kind: str, form: str) -> None:
    """Messages are read in every form in which people keep them, from every kind of file."""
    path, row = tmp_path / "chats", READ[kind]
    if form == "lines":
        written(path, row, row)
    elif form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([row, row]), path)
    else:
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()
        Dataset.from_list([row, row]).save_to_disk(path)
    assert read_pairs(path) == [SAID, SAID]


def test_what_goes_to_the_template(tmp_path: Path) -> None:
    """Tools (as a list, or as JSON in a text) and settings of the template are kept."""
    tools, more = [{"name": "search"}], {"enable_thinking": False}
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "search"}]}
    row = CHAT | {"chosen": [call], "chat_template_kwargs": more}
    path = written(tmp_path / "a", row | {"tools": tools}, row | {"tools": json.dumps(tools)})
    expected = Conversation(CHAT["prompt"], [call], CHAT["rejected"], tools, more)
    pairs = read_pairs(path)
    assert pairs == [expected, expected]
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no common beginning": (
        [{"chosen": "x", "rejected": "y"}],
        '"prompt" is missing, and "chosen" and "rejected" have no common beginning',
    ),
    "a prompt that one row lacks": (
        [GOOD, {"chosen": "the soup was hot", "rejected": "the soup was cold"}],
        'line 2: field "prompt" is missing, and other rows have it',
    ),
    "a prompt that one row has": (
        [{"chosen": "a b", "rejected": "a c"}, GOOD],
        'line 1: field "prompt" is missing, and other rows have it',
    ),
    "text and messages": ([CHAT | {"rejected": "no"}], '"chosen" or "rejected" is text'),
    "messages and texts": ([GOOD | {"prompt": turns("hi")}], 'the prompt is messages, and'),
    "another text prompt": ([{"prompt": "bye", **WHOLE}], '"prompt" is text that the messages'),
    "the prompt twice": ([CHAT | WHOLE], "begin with the whole prompt again; remove"),
    "identical": ([CHAT | {"rejected": CHAT["chosen"]}], "identical; remove"),
    "empty answer": ([CHAT | {"chosen": turns(" ", first="assistant")}], "preferred is empty"),
    "no messages": ([CHAT | {"chosen": []}], '"chosen" is an empty list'),
    "no role": ([CHAT | {"prompt": [{"content": "hi"}]}], 'message 1 of prompt has no "role"'),
    "no content": ([CHAT | {"prompt": [{"role": "user"}]}], 'the "content" of message 1 of prompt'),
    "parts": (
        [CHAT | {"prompt": [{"role": "user", "content": [{"type": "image"}]}]}],
        "message 1 of prompt has a list of parts .* remove pairs with images",
    ),
    "images": ([CHAT | {"images": ["x.png"]}], '"images" is not read'),
    "system": ([CHAT | {"system": "Be kind."}], '"system" is not read .* first message of the pr'),
    "another narrator": (
        [CHAT | {"prompt": [{"from": "observation", "value": "hi"}]}],
        'message 1 of prompt is from "observation"',
    ),
    "half a character": (
        [CHAT | {"prompt": turns("\ud83d")}], r"content of message 1 of prompt contains half"
    ),
    "written out": ([GOOD | {"chosen": json.dumps(turns("hi"))}], "was turned into text"),
    "tools": ([CHAT | {"tools": "[{"}], '"tools" is not JSON'),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_rows_that_are_refused(tmp_path: Path, kind: str) -> None:
    """The error has the line, the field or message, and what to do; skipping keeps a good row."""
    rows, words = REFUSED[kind]
    path = written(tmp_path / "mine.jsonl", *rows)
    with pytest.raises(ValueError, match=r"mine.jsonl, line \d: ") as caught:
        read_pairs(path)
    assert re.search(words, str(caught.value)), str(caught.value)
    if len(rows) == 1 and "prompt" in rows[0]:
        with pytest.warns(UserWarning, match="1 of 2 pairs skipped"):
            assert read_pairs(written(path, GOOD, *rows), skip_bad=True) == [Pair("a", "b", "c")]


common = st.text("ab :\n", min_size=1, max_size=9).filter(str.strip)
tail = st.text("ab c", min_size=1, max_size=9)


@given(common, tail, tail)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_implicit_prompt_of_trl(tmp_path: Path, start: str, w: str, l: str) -> None:  # noqa: E741
    """Without a prompt, a common beginning is cut off where TRL's `extract_prompt` does it."""
    from trl import extract_prompt

    row = {"chosen": start + w, "rejected": start + l}
    assume(w != l)
    theirs = extract_prompt(row)
    path = written(tmp_path / "mine.jsonl", row)
    if not all(text.strip() for text in theirs.values()):
        with pytest.raises(ValueError, match="line 1"):
            read_pairs(path)
    else:
        assert read_pairs(path) == [Pair(**dict(zip(vars(Pair("a", "b", "c")), (
            theirs["prompt"], theirs["chosen"], theirs["rejected"]), strict=True)))]  # fmt: skip


def test_human_and_assistant(tmp_path: Path) -> None:
    """The texts of HH split before the answers, the space with them, as TRL splits them."""
    path = written(tmp_path / "hh", {"chosen": f"{HH} Yes.", "rejected": f"{HH} No."})
    assert read_pairs(path) == [Pair(HH, " Yes.", " No.")]


def test_the_reference_of_trl(tmp_path: Path) -> None:
    """Precomputed log-probabilities stand beside the pairs, a row for each response, follow the
    pairs that are kept, and survive a file."""
    scores = [(-1.5, -2.25), (-3.0, -0.1), (-7.0, -8.0)]
    rows = [
        GOOD | {"prompt": f"p{i}", "ref_chosen_logps": w, "ref_rejected_logps": l}
        for i, (w, l) in enumerate(scores)  # noqa: E741
    ]
    path = written(tmp_path / "a", rows[0], GOOD | {"chosen": "c"}, *rows[1:])
    with pytest.warns(UserWarning, match="1 of 4"):
        pairs = read_pairs(path, skip_bad=True)
    assert pairs.reference is not None
    np.testing.assert_array_equal(pairs.reference, np.transpose(scores))
    kept = pairs.keep([2, 0])
    assert kept.reference is not None
    np.testing.assert_array_equal(kept.reference.T, [scores[2], scores[0]])
    assert kept.places == (f"{path}, line 4", f"{path}, line 1")
    write_pairs(path, pairs)
    again = read_pairs(path)
    assert again == pairs
    np.testing.assert_array_equal(again.reference, pairs.reference)
    assert read_pairs(written(path, GOOD)).reference is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ref_chosen_logps": -1.0}, '"ref_rejected_logps" is None, not a log-prob'),
        ({"ref_chosen_logps": -1.0, "ref_rejected_logps": float("nan")}, "is nan, not a log"),
        ({"ref_chosen_logps": 0.5, "ref_rejected_logps": -1}, "is 0.5, not a log"),
        ({"ref_chosen_logps": [-1.0], "ref_rejected_logps": -1}, "is .-1.0., not a log"),
        ({}, '"ref_chosen_logps" is missing, and other rows have it'),
    ],
)
def test_a_wrong_reference(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    """A column that is missing somewhere, nan, positive or no number is an error with its line."""
    first = GOOD | {"ref_chosen_logps": -1.0, "ref_rejected_logps": -2.0}
    path = written(tmp_path / "mine.jsonl", first, GOOD | fields, first)
    with pytest.raises(ValueError, match=f"line 2: .*{words}"):
        read_pairs(path)
    with pytest.warns(UserWarning, match="1 of 3"):
        pairs = read_pairs(path, skip_bad=True)
    assert len(pairs) == 2
    assert pairs.reference is not None
    assert pairs.reference.tolist() == [[-1, -1], [-2, -2]]


def test_everything_survives_a_file(tmp_path: Path) -> None:
    """Texts and conversations, mixed, come back from `write_pairs` equal."""
    system = {"role": "system", "content": "Be kind.", "name": "x"}
    pairs = [
        Pair("\u2028a\r", " \x85b", " 🙂 "),
        Conversation([system, *turns("hi")], SAID.preferred, SAID.dispreferred, None, {"a": 1}),
        Conversation(turns("x", "y", "z"), turns("1", "2", "3", first="assistant"), SAID.preferred),
    ]
    write_pairs(tmp_path / "a.csv.gz", pairs)
    assert read_pairs(tmp_path / "a.csv.gz") == pairs
    assert isinstance(read_pairs(tmp_path / "a.csv.gz"), PairList)


def test_prompts_that_responses_repeat(tmp_path: Path) -> None:
    """A file with whole texts beside their prompts would score the prompt's tokens too."""
    rows = [{"prompt": f"{i}: ", "chosen": f"{i}: yes", "rejected": f"{i}: no"} for i in range(3)]
    with pytest.warns(UserWarning, match="begins with its whole prompt"):
        read_pairs(written(tmp_path / "a", *rows))
    rows[1]["chosen"] = "yes"
    assert len(read_pairs(written(tmp_path / "a", *rows))) == 3


@pytest.mark.parametrize("form", ["parquet", "dataset"])
def test_tables_put_nothing_into_messages(tmp_path: Path, form: str) -> None:
    """Arrow fills keys that other rows have with null; a template would write these into the text.

    Null that an argument has in JSON lines is the author's, and stays.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    def row(**arguments: Any) -> dict[str, Any]:
        call = {"role": "assistant", "tool_calls": [{"function": {"arguments": arguments}}]}
        return {**CHAT, "chosen": [call]}

    rows, path = [row(place="Rome"), row(day=1), CHAT], tmp_path / "pairs"
    expected = [r["chosen"] for r in rows]
    if form == "dataset":
        Dataset.from_list(rows).save_to_disk(path)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert [p.preferred for p in read_pairs(path)] == expected
    lines = written(tmp_path / "lines", row(day=None), {**CHAT, "tools": None})
    assert [p.preferred for p in read_pairs(lines)] == [row(day=None)["chosen"], CHAT["chosen"]]


def test_a_pair_is_checked_when_it_is_made() -> None:
    """What no file can hold and what no template can read cannot be made in the first place."""
    with pytest.raises(ValueError, match="dispreferred contains half a character"):
        Pair("a", "b", "\udc80")
    assert Conversation(sharegpt("hi"), SAID.preferred, SAID.dispreferred).prompt == turns("hi")
    with pytest.raises(ValueError, match="message 1 of preferred is str"):
        Conversation(turns("hi"), ["yes"], SAID.dispreferred)  # type: ignore[list-item]
