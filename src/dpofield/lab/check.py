"""`python -m dpofield.lab.check FILE` says which pairs of a file can be read, and what is wrong."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from dpofield.lab.chat import Conversation
from dpofield.lab.pairs import PairList, read_pairs

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a report of one file; 0 if every row can be read, else 1."""
    parser = argparse.ArgumentParser(prog="python -m dpofield.lab.check", description=__doc__)
    parser.add_argument("file", help="JSON lines, CSV, Parquet, or a folder of save_to_disk")
    parser.add_argument("--encoding", help="of a text file that is not UTF-8, for example cp1252")
    parser.add_argument("--split", help="of a folder with several splits")
    given = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings(action="ignore"):
            pairs = read_pairs(
                given.file, skip_bad=True, encoding=given.encoding, split=given.split
            )
    except (ValueError, OSError, ImportError) as error:
        print(error)
        return 1
    print("\n".join(report(given.file, pairs)))
    return 1 if pairs.skipped else 0


def report(name: str, pairs: PairList) -> list[str]:
    """The sentences about a file that was read with `skip_bad`."""
    chats = sum(isinstance(pair, Conversation) for pair in pairs)
    said = [f"{name}: {len(pairs)} pairs can be read, {chats} of them as chat messages."]
    if pairs.reference is not None:
        said.append("They have reference log-probabilities.")
    first = pairs[0]
    for field in ("prompt", "preferred", "dispreferred"):
        said.append(f"First {field}: {_shortened(repr(getattr(first, field)))}")
    repeated = sum(
        isinstance(pair.prompt, str)
        and str(pair.preferred).startswith(pair.prompt)
        and str(pair.dispreferred).startswith(pair.prompt)
        for pair in pairs
    )
    if repeated:
        said.append(
            f"In {repeated} pairs both responses begin with the prompt, so a model would read it "
            "twice: leave out the column of prompts if the responses hold whole conversations."
        )
    if pairs.skipped:
        said.append(f"{len(pairs.skipped)} rows cannot be read:")
        said += [f"- {problem}" for problem in pairs.skipped[:_SHOWN]]
        if len(pairs.skipped) > _SHOWN:
            said.append(f"- and {len(pairs.skipped) - _SHOWN} more")
    return said


def _shortened(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-25:]}"


if __name__ == "__main__":
    # A terminal may lack characters of the texts.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
