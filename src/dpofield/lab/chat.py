"""Preference pairs of chat messages, and the texts that a chat template makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

# ShareGPT's names of the roles; a name that `transformers` uses stays as it is.
_SHAREGPT = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}
_SHAREGPT |= {"system": "system"}
_WRITTEN_OUT = re.compile(r"""\s*\[\s*\{\s*['"](role|content|from|value)['"]\s*:""")


@dataclass(frozen=True)
class Conversation:
    """A prompt of chat messages and two different answers, the first of which is preferred.

    Each message is `{"role": ..., "content": ...}` as `apply_chat_template` of `transformers`
    takes it. `encode` applies the tokenizer's own template, to which `tools` and
    `template_kwargs` (TRL's column `chat_template_kwargs`) are passed.
    """

    prompt: list[Message]
    preferred: list[Message]
    dispreferred: list[Message]
    tools: list[Any] | None = None
    template_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("prompt", "preferred", "dispreferred"):
            object.__setattr__(self, name, messages(getattr(self, name), name))
        if self.preferred == self.dispreferred:
            raise ValueError("preferred and dispreferred are identical; remove the pair")
        if (
            self.preferred[: len(self.prompt)]
            == self.prompt
            == self.dispreferred[: len(self.prompt)]
        ):
            raise ValueError(
                "both responses begin with the whole prompt again; remove the messages there, "
                "or leave out the prompt"
            )
        for name in ("preferred", "dispreferred"):
            if not any(m.get("tool_calls") or m["content"].strip() for m in getattr(self, name)):
                raise ValueError(f"{name} is empty; write a text there or remove the pair")


def check_text(name: str, text: str) -> None:
    """Raise `ValueError` for a text that is empty, or that UTF-8 cannot hold."""
    if not text.strip():
        raise ValueError(f"{name} is empty; write a text there or remove it")
    check_utf8(name, text)


def check_utf8(name: str, text: str) -> None:
    """Raise `ValueError` for a text that no file and no tokenizer can take.

    >>> check_utf8("response", "fine " + chr(0xD83D))
    Traceback (most recent call last):
    ...
    ValueError: response contains half a character (U+D83D, character 6): ...
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise ValueError(
            f"{name} contains half a character ({half}, character {error.start + 1}): "
            "an emoji was cut there; write it whole or remove it"
        ) from error


def written_out(text: str) -> bool:
    """Whether a text looks like messages that a table turned into text."""
    return _WRITTEN_OUT.match(text) is not None


def messages(value: list[Any], name: str) -> list[Message]:
    """The messages of a list, ShareGPT's `from` and `value` renamed.

    Raises `ValueError` for what is not a message with a role and a text.

    >>> messages([{"from": "human", "value": "Hi!"}], "prompt")
    [{'role': 'user', 'content': 'Hi!'}]
    """
    if not value:
        raise ValueError(f'"{name}" is an empty list; write a message there or remove it')
    return [_message(message, f"message {i} of {name}") for i, message in enumerate(value, 1)]


def _message(message: Any, name: str) -> Message:
    if not isinstance(message, Mapping):
        raise ValueError(f"{name} is {type(message).__name__}, not an object with role and content")
    found = {key: value for key, value in message.items() if value is not None}
    if "role" not in found and "from" in found and "value" in found:
        role = _SHAREGPT.get(str(found.pop("from")).lower())
        if role is None:
            raise ValueError(
                f'{name} is from "{message["from"]}", which has no role in a chat template; '
                f"use one of {', '.join(_SHAREGPT)}"
            )
        found = {"role": role, "content": found.pop("value"), **found}
    if not isinstance(found.get("role"), str) or not found["role"]:
        raise ValueError(f'{name} has no "role"; write user, assistant or system there')
    content = found.get("content")
    if isinstance(content, list):
        raise ValueError(
            f"{name} has a list of parts (of several media) as its content; "
            "join its texts into one, and remove pairs with images"
        )
    if content is None and found.get("tool_calls"):
        return found
    if not isinstance(content, str):
        raise ValueError(f'the "content" of {name} is {type(content).__name__}, not text')
    check_utf8(f"the content of {name}", content)
    return found


def rendered(tokenizer: Any, pair: Conversation) -> tuple[str, str, str]:
    """The texts of the prompt, the prompt with the preferred and with the dispreferred answer.

    The prompt ends with what the template writes before an answer. The other texts need not begin
    with it: some templates write it only there.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "the tokenizer has no chat template: use that of an instruct model, "
            "set tokenizer.chat_template, or write prompt and responses as text"
        )
    more = {"tools": pair.tools or None, **pair.template_kwargs, "tokenize": False}
    try:
        prompt = tokenizer.apply_chat_template(pair.prompt, add_generation_prompt=True, **more)
        w, l = (  # noqa: E741 - the field's own letters
            tokenizer.apply_chat_template(pair.prompt + answer, **more)
            for answer in (pair.preferred, pair.dispreferred)
        )
    except ImportError:
        raise
    except Exception as error:  # a template may raise anything
        raise ValueError(f"the tokenizer's chat template refuses the messages: {error}") from error
    for text in (prompt, w, l):
        check_utf8("the text of the messages", text)
    return prompt, w, l
